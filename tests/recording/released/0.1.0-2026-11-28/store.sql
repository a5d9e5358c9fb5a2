SELECT pg_catalog.set_config('search_path', '', false);

CREATE TABLE public.attempt (
    run_id bigint NOT NULL,
    attempt integer NOT NULL,
    uid character varying(36) NOT NULL,
    resumed_from integer,
    start_step bigint NOT NULL,
    end_step bigint NOT NULL,
    last_step bigint,
    opened_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    status character varying(16) NOT NULL,
    error text,
    git_commit character varying(64),
    git_dirty boolean,
    command text,
    host text,
    versions jsonb,
    changed_hyperparams jsonb
);

CREATE TABLE public.step_log (
    run_id bigint NOT NULL,
    step bigint NOT NULL,
    attempt integer NOT NULL,
    logged_at timestamp with time zone NOT NULL,
    epoch double precision,
    step_time double precision,
    metrics jsonb NOT NULL,
    details jsonb
);

CREATE VIEW public.current_step_log AS
 SELECT step_log.run_id,
    step_log.step,
    step_log.attempt,
    step_log.logged_at,
    step_log.epoch,
    step_log.step_time,
    step_log.metrics,
    step_log.details
   FROM (public.step_log
     JOIN public.attempt ON (((step_log.run_id = attempt.run_id) AND (step_log.attempt = attempt.attempt))))
  WHERE (step_log.step <= attempt.end_step);

CREATE TABLE public.datablob (
    datablob_name text NOT NULL,
    datablob_group_name text NOT NULL,
    datablob_hyperparams jsonb NOT NULL,
    datablob_hyperparams_flat jsonb,
    datablob_last_modified timestamp with time zone NOT NULL
);

CREATE TABLE public.event (
    id bigint NOT NULL,
    writer_uid character varying(36) NOT NULL,
    seq bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    step bigint,
    kind text NOT NULL,
    details jsonb,
    run_id bigint NOT NULL
);

CREATE SEQUENCE public.event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.event_id_seq OWNED BY public.event.id;

CREATE TABLE public.hyperparam (
    run_id bigint NOT NULL,
    namespace character varying(16) NOT NULL,
    key text NOT NULL,
    value jsonb,
    number double precision,
    attempt integer NOT NULL
);

CREATE TABLE public.metric_summary (
    run_id bigint NOT NULL,
    metric text NOT NULL,
    count bigint NOT NULL,
    nonfinite_count bigint NOT NULL,
    min double precision,
    min_step bigint,
    max double precision,
    max_step bigint,
    last double precision,
    last_step bigint
)
WITH (fillfactor='70');

CREATE TABLE public.model (
    model_name text NOT NULL,
    model_class_name text NOT NULL,
    model_last_modified timestamp with time zone NOT NULL,
    datablob_name text NOT NULL,
    model_template_name text NOT NULL
);

CREATE TABLE public.model_epoch (
    model_epoch_id integer NOT NULL,
    model_epoch_num integer NOT NULL,
    model_epoch_metrics jsonb NOT NULL,
    model_epoch_last_modified timestamp with time zone NOT NULL,
    steps_per_epoch integer,
    validation_steps_per_epoch integer,
    model_name text NOT NULL
);

CREATE SEQUENCE public.model_epoch_model_epoch_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.model_epoch_model_epoch_id_seq OWNED BY public.model_epoch.model_epoch_id;

CREATE TABLE public.model_template (
    model_template_name text NOT NULL,
    model_template_group_name text NOT NULL,
    model_template_hyperparams jsonb NOT NULL,
    model_template_last_modified timestamp with time zone NOT NULL
);

CREATE TABLE public.run (
    id bigint NOT NULL,
    uid character varying(36) NOT NULL,
    project text NOT NULL,
    name text NOT NULL,
    status character varying(16) NOT NULL,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    error text,
    source text NOT NULL,
    last_step bigint,
    notes text,
    model_name text,
    parent_step bigint,
    parent_run_id bigint
);

CREATE SEQUENCE public.run_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.run_id_seq OWNED BY public.run.id;

CREATE TABLE public.store (
    uid character varying(36) NOT NULL,
    created_at timestamp with time zone NOT NULL
);

CREATE TABLE public.trainstore_version (
    version_num character varying(32) NOT NULL
);

CREATE TABLE public.writer (
    uid character varying(36) NOT NULL,
    attempt integer NOT NULL,
    rank integer NOT NULL,
    host text NOT NULL,
    username text,
    pid integer NOT NULL,
    started_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    heartbeat_at timestamp with time zone,
    acked bigint NOT NULL,
    run_id bigint NOT NULL
);

ALTER TABLE ONLY public.event ALTER COLUMN id SET DEFAULT nextval('public.event_id_seq'::regclass);

ALTER TABLE ONLY public.model_epoch ALTER COLUMN model_epoch_id SET DEFAULT nextval('public.model_epoch_model_epoch_id_seq'::regclass);

ALTER TABLE ONLY public.run ALTER COLUMN id SET DEFAULT nextval('public.run_id_seq'::regclass);

INSERT INTO public.attempt VALUES
	(1, 1, '3e7d559d-3bb7-4a81-acc7-d4fec41dd053', NULL, -1, 4, 7, '2026-11-28 19:44:05.365984+00', '2026-11-28 19:44:05.371163+00', 'finished', NULL, NULL, NULL, 'train.py --lr 0.1', 'released-host', '{"python": "3.11.7", "trainstore": "0.1.0"}', NULL),
	(1, 2, 'f77e1252-1592-4797-bfaa-5fb3bcad0767', 1, 4, 9223372036854775807, 11, '2026-11-28 19:44:05.553502+00', '2026-11-28 19:44:05.685878+00', 'finished', NULL, NULL, NULL, 'train.py --lr 0.1', 'released-host', '{"python": "3.11.7", "trainstore": "0.1.0"}', '{"hp.lr": [0.1, 0.2]}'),
	(2, 1, 'c100a676-e73f-432b-8f18-60f362421f7b', NULL, -1, 3, 7, '2026-11-28 19:44:05.554575+00', '2026-11-28 19:44:05.555789+00', 'finished', NULL, NULL, NULL, 'train.py --lr 0.1', 'released-host', '{"python": "3.11.7", "trainstore": "0.1.0"}', NULL),
	(2, 2, '713d75d5-d011-4a6d-b5f2-d98713087dc2', 1, 3, 9223372036854775807, 9, '2026-11-28 19:44:05.685111+00', NULL, 'running', NULL, NULL, NULL, 'train.py --lr 0.1', 'released-host', '{"python": "3.11.7", "trainstore": "0.1.0"}', '{"hp.lr": [0.1, 0.2]}');

INSERT INTO public.event VALUES
	(1, '3e7d559d-3bb7-4a81-acc7-d4fec41dd053', 6, '2026-11-28 19:44:05.370861+00', 0, 'mark', '{"of": 0}', 1),
	(2, '3e7d559d-3bb7-4a81-acc7-d4fec41dd053', 8, '2026-11-28 19:44:05.370882+00', 1, 'mark', '{"of": 1}', 1),
	(3, '3e7d559d-3bb7-4a81-acc7-d4fec41dd053', 10, '2026-11-28 19:44:05.370911+00', 2, 'mark', '{"of": 2}', 1),
	(4, '3e7d559d-3bb7-4a81-acc7-d4fec41dd053', 12, '2026-11-28 19:44:05.37108+00', 3, 'mark', '{"of": 3}', 1),
	(5, '3e7d559d-3bb7-4a81-acc7-d4fec41dd053', 14, '2026-11-28 19:44:05.371101+00', 4, 'mark', '{"of": 4}', 1),
	(6, '3e7d559d-3bb7-4a81-acc7-d4fec41dd053', 16, '2026-11-28 19:44:05.371116+00', 5, 'mark', '{"of": 5}', 1),
	(7, '3e7d559d-3bb7-4a81-acc7-d4fec41dd053', 18, '2026-11-28 19:44:05.371134+00', 6, 'mark', '{"of": 6}', 1),
	(8, '3e7d559d-3bb7-4a81-acc7-d4fec41dd053', 20, '2026-11-28 19:44:05.371156+00', 7, 'mark', '{"of": 7}', 1),
	(9, 'c100a676-e73f-432b-8f18-60f362421f7b', 6, '2026-11-28 19:44:05.555436+00', 0, 'mark', '{"of": 0}', 2),
	(10, 'c100a676-e73f-432b-8f18-60f362421f7b', 8, '2026-11-28 19:44:05.555455+00', 1, 'mark', '{"of": 1}', 2),
	(11, 'c100a676-e73f-432b-8f18-60f362421f7b', 10, '2026-11-28 19:44:05.555479+00', 2, 'mark', '{"of": 2}', 2),
	(12, 'c100a676-e73f-432b-8f18-60f362421f7b', 12, '2026-11-28 19:44:05.555699+00', 3, 'mark', '{"of": 3}', 2),
	(13, 'c100a676-e73f-432b-8f18-60f362421f7b', 14, '2026-11-28 19:44:05.555723+00', 4, 'mark', '{"of": 4}', 2),
	(14, 'c100a676-e73f-432b-8f18-60f362421f7b', 16, '2026-11-28 19:44:05.555744+00', 5, 'mark', '{"of": 5}', 2),
	(15, 'c100a676-e73f-432b-8f18-60f362421f7b', 18, '2026-11-28 19:44:05.555767+00', 6, 'mark', '{"of": 6}', 2),
	(16, 'c100a676-e73f-432b-8f18-60f362421f7b', 20, '2026-11-28 19:44:05.555781+00', 7, 'mark', '{"of": 7}', 2),
	(17, 'f77e1252-1592-4797-bfaa-5fb3bcad0767', 5, '2026-11-28 19:44:05.685769+00', 5, 'mark', '{"of": 5}', 1),
	(18, 'f77e1252-1592-4797-bfaa-5fb3bcad0767', 7, '2026-11-28 19:44:05.685795+00', 6, 'mark', '{"of": 6}', 1),
	(19, 'f77e1252-1592-4797-bfaa-5fb3bcad0767', 9, '2026-11-28 19:44:05.685811+00', 7, 'mark', '{"of": 7}', 1),
	(20, 'f77e1252-1592-4797-bfaa-5fb3bcad0767', 11, '2026-11-28 19:44:05.685826+00', 8, 'mark', '{"of": 8}', 1),
	(21, 'f77e1252-1592-4797-bfaa-5fb3bcad0767', 13, '2026-11-28 19:44:05.685841+00', 9, 'mark', '{"of": 9}', 1),
	(22, 'f77e1252-1592-4797-bfaa-5fb3bcad0767', 15, '2026-11-28 19:44:05.685858+00', 10, 'mark', '{"of": 10}', 1),
	(23, 'f77e1252-1592-4797-bfaa-5fb3bcad0767', 17, '2026-11-28 19:44:05.685872+00', 11, 'mark', '{"of": 11}', 1),
	(24, '713d75d5-d011-4a6d-b5f2-d98713087dc2', 5, '2026-11-28 19:44:05.789229+00', 4, 'mark', '{"of": 4}', 2),
	(25, '713d75d5-d011-4a6d-b5f2-d98713087dc2', 7, '2026-11-28 19:44:05.789254+00', 5, 'mark', '{"of": 5}', 2),
	(26, '713d75d5-d011-4a6d-b5f2-d98713087dc2', 9, '2026-11-28 19:44:05.789278+00', 6, 'mark', '{"of": 6}', 2),
	(27, '713d75d5-d011-4a6d-b5f2-d98713087dc2', 11, '2026-11-28 19:44:05.789295+00', 7, 'mark', '{"of": 7}', 2),
	(28, '713d75d5-d011-4a6d-b5f2-d98713087dc2', 13, '2026-11-28 19:44:05.789309+00', 8, 'mark', '{"of": 8}', 2),
	(29, '713d75d5-d011-4a6d-b5f2-d98713087dc2', 15, '2026-11-28 19:44:05.789322+00', 9, 'mark', '{"of": 9}', 2);

INSERT INTO public.hyperparam VALUES
	(1, 'hp', 'int', '3', 3, 1),
	(1, 'hp', 'lowest', '-9223372036854775808', -9.223372036854776e+18, 1),
	(1, 'hp', 'big', '{"$int": "1208925819614629174706176"}', NULL, 1),
	(1, 'hp', 'float', '0.1', 0.1, 1),
	(1, 'hp', 'tiny', '0.000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000005', 5e-324, 1),
	(1, 'hp', 'nan', '"NaN"', NULL, 1),
	(1, 'hp', 'inf', '"Infinity"', NULL, 1),
	(1, 'hp', '-inf', '"-Infinity"', NULL, 1),
	(1, 'hp', 'true', 'true', NULL, 1),
	(1, 'hp', 'none', NULL, NULL, 1),
	(1, 'hp', 'text', '"3"', NULL, 1),
	(1, 'hp', 'empty', '""', NULL, 1),
	(1, 'hp', 'unicode', '"損失 é 🎉"', NULL, 1),
	(1, 'hp', 'quotes', '"''; DROP TABLE run; -- \\ \" % :a ?"', NULL, 1),
	(1, 'hp', 'list', '[1, [2.5, null]]', NULL, 1),
	(1, 'hp', 'object', '{"a": [1, {"b": null}], "ключ": true}', NULL, 1),
	(1, 'hp', 'a.b', '1.5', 1.5, 1),
	(1, 'hp', 'a"b', '8.5', 8.5, 1),
	(1, 'tag', 'kept', 'true', NULL, 1),
	(1, 'tag', 'all', '{"a\"b": 8.5, "a.b": 1.5, "big": {"$int": "1208925819614629174706176"}, "inf": "Infinity", "int": 3, "nan": "NaN", "-inf": "-Infinity", "list": [1, [2.5, null]], "none": null, "text": "3", "tiny": 0.000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000005, "true": true, "empty": "", "float": 0.1, "lowest": -9223372036854775808, "object": {"a": [1, {"b": null}], "ключ": true}, "quotes": "''; DROP TABLE run; -- \\ \" % :a ?", "unicode": "損失 é 🎉"}', NULL, 1),
	(1, 'hp', 'lr', '0.2', 0.2, 2),
	(2, 'hp', 'int', '3', 3, 1),
	(2, 'hp', 'lowest', '-9223372036854775808', -9.223372036854776e+18, 1),
	(2, 'hp', 'big', '{"$int": "1208925819614629174706176"}', NULL, 1),
	(2, 'hp', 'float', '0.1', 0.1, 1),
	(2, 'hp', 'tiny', '0.000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000005', 5e-324, 1),
	(2, 'hp', 'nan', '"NaN"', NULL, 1),
	(2, 'hp', 'inf', '"Infinity"', NULL, 1),
	(2, 'hp', '-inf', '"-Infinity"', NULL, 1),
	(2, 'hp', 'true', 'true', NULL, 1),
	(2, 'hp', 'none', NULL, NULL, 1),
	(2, 'hp', 'text', '"3"', NULL, 1),
	(2, 'hp', 'empty', '""', NULL, 1),
	(2, 'hp', 'unicode', '"損失 é 🎉"', NULL, 1),
	(2, 'hp', 'quotes', '"''; DROP TABLE run; -- \\ \" % :a ?"', NULL, 1),
	(2, 'hp', 'list', '[1, [2.5, null]]', NULL, 1),
	(2, 'hp', 'object', '{"a": [1, {"b": null}], "ключ": true}', NULL, 1),
	(2, 'hp', 'a.b', '1.5', 1.5, 1),
	(2, 'hp', 'a"b', '8.5', 8.5, 1),
	(2, 'tag', 'kept', 'true', NULL, 1),
	(2, 'tag', 'all', '{"a\"b": 8.5, "a.b": 1.5, "big": {"$int": "1208925819614629174706176"}, "inf": "Infinity", "int": 3, "nan": "NaN", "-inf": "-Infinity", "list": [1, [2.5, null]], "none": null, "text": "3", "tiny": 0.000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000005, "true": true, "empty": "", "float": 0.1, "lowest": -9223372036854775808, "object": {"a": [1, {"b": null}], "ключ": true}, "quotes": "''; DROP TABLE run; -- \\ \" % :a ?", "unicode": "損失 é 🎉"}', NULL, 1),
	(2, 'hp', 'lr', '0.2', 0.2, 2);

INSERT INTO public.metric_summary VALUES
	(1, '-inf', 1, 1, NULL, NULL, NULL, NULL, '-Infinity', 3),
	(1, 'a"b', 1, 0, 8.5, 3, 8.5, 3, 8.5, 3),
	(1, 'a.b', 1, 0, 1.5, 3, 1.5, 3, 1.5, 3),
	(1, 'float', 1, 0, 0.1, 3, 0.1, 3, 0.1, 3),
	(1, 'inf', 1, 1, NULL, NULL, NULL, NULL, 'Infinity', 3),
	(1, 'int', 1, 0, 3, 3, 3, 3, 3, 3),
	(1, 'lowest', 1, 0, -9.223372036854776e+18, 3, -9.223372036854776e+18, 3, -9.223372036854776e+18, 3),
	(1, 'nan', 1, 1, NULL, NULL, NULL, NULL, NULL, 3),
	(1, 'tiny', 1, 0, 5e-324, 3, 5e-324, 3, 5e-324, 3),
	(2, '-inf', 1, 1, NULL, NULL, NULL, NULL, '-Infinity', 3),
	(2, 'a"b', 1, 0, 8.5, 3, 8.5, 3, 8.5, 3),
	(2, 'a.b', 1, 0, 1.5, 3, 1.5, 3, 1.5, 3),
	(2, 'float', 1, 0, 0.1, 3, 0.1, 3, 0.1, 3),
	(2, 'inf', 1, 1, NULL, NULL, NULL, NULL, 'Infinity', 3),
	(2, 'int', 1, 0, 3, 3, 3, 3, 3, 3),
	(2, 'lowest', 1, 0, -9.223372036854776e+18, 3, -9.223372036854776e+18, 3, -9.223372036854776e+18, 3),
	(2, 'nan', 1, 1, NULL, NULL, NULL, NULL, NULL, 3),
	(2, 'tiny', 1, 0, 5e-324, 3, 5e-324, 3, 5e-324, 3),
	(1, 'loss', 12, 0, 0.16666666666666666, 11, 1, 0, 0.16666666666666666, 11),
	(1, 'wave', 12, 3, 0, 0, 2, 5, 2, 11),
	(2, 'loss', 10, 0, 0.2, 9, 1, 0, 0.2, 9),
	(2, 'wave', 10, 2, 0, 0, 2, 5, 0, 9);

INSERT INTO public.run VALUES
	(1, '3c649a3f-fa1e-42e6-8937-14c0873e18be', 'released', 'trained', 'finished', '2026-11-28 19:44:05.365958+00', '2026-11-28 19:44:05.685878+00', NULL, 'python', 11, 'first
last 損失', NULL, NULL, NULL),
	(2, '1c034e0e-a399-42b0-b72b-8369c85854e3', 'released', 'killed', 'running', '2026-11-28 19:44:05.554547+00', NULL, NULL, 'python', 9, 'first
last 損失', NULL, NULL, NULL);

INSERT INTO public.step_log VALUES
	(1, 0, 1, '2026-11-28 19:44:05.370827+00', 0, NULL, '{"loss": 1.0, "wave": 0}', NULL),
	(1, 1, 1, '2026-11-28 19:44:05.370868+00', 0.1, NULL, '{"loss": 0.5, "wave": 1}', NULL),
	(1, 2, 1, '2026-11-28 19:44:05.370893+00', 0.2, NULL, '{"loss": 0.3333333333333333, "wave": "NaN"}', NULL),
	(1, 3, 1, '2026-11-28 19:44:05.370917+00', 0.3, NULL, '{"a\"b": 8.5, "a.b": 1.5, "big": {"$int": "1208925819614629174706176"}, "inf": "Infinity", "int": 3, "nan": "NaN", "-inf": "-Infinity", "list": [1, [2.5, null]], "loss": 0.25, "none": null, "text": "3", "tiny": 0.000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000005, "true": true, "wave": 0, "empty": "", "float": 0.1, "lowest": -9223372036854775808, "object": {"a": [1, {"b": null}], "ключ": true}, "quotes": "''; DROP TABLE run; -- \\ \" % :a ?", "unicode": "損失 é 🎉"}', '{"batch": [3]}'),
	(1, 4, 1, '2026-11-28 19:44:05.371087+00', 0.4, NULL, '{"loss": 0.2, "wave": 1}', NULL),
	(1, 5, 1, '2026-11-28 19:44:05.371105+00', 0.5, NULL, '{"loss": 0.16666666666666666, "wave": 2}', NULL),
	(1, 6, 1, '2026-11-28 19:44:05.37112+00', 0.6, NULL, '{"loss": 0.14285714285714285, "wave": "NaN"}', NULL),
	(1, 7, 1, '2026-11-28 19:44:05.371141+00', 0.7, NULL, '{"loss": 0.125, "wave": 1}', NULL),
	(2, 0, 1, '2026-11-28 19:44:05.555398+00', 0, NULL, '{"loss": 1.0, "wave": 0}', NULL),
	(2, 1, 1, '2026-11-28 19:44:05.555442+00', 0.1, NULL, '{"loss": 0.5, "wave": 1}', NULL),
	(2, 2, 1, '2026-11-28 19:44:05.55546+00', 0.2, NULL, '{"loss": 0.3333333333333333, "wave": "NaN"}', NULL),
	(2, 3, 1, '2026-11-28 19:44:05.555487+00', 0.3, NULL, '{"a\"b": 8.5, "a.b": 1.5, "big": {"$int": "1208925819614629174706176"}, "inf": "Infinity", "int": 3, "nan": "NaN", "-inf": "-Infinity", "list": [1, [2.5, null]], "loss": 0.25, "none": null, "text": "3", "tiny": 0.000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000005, "true": true, "wave": 0, "empty": "", "float": 0.1, "lowest": -9223372036854775808, "object": {"a": [1, {"b": null}], "ключ": true}, "quotes": "''; DROP TABLE run; -- \\ \" % :a ?", "unicode": "損失 é 🎉"}', '{"batch": [3]}'),
	(2, 4, 1, '2026-11-28 19:44:05.555706+00', 0.4, NULL, '{"loss": 0.2, "wave": 1}', NULL),
	(2, 5, 1, '2026-11-28 19:44:05.555729+00', 0.5, NULL, '{"loss": 0.16666666666666666, "wave": 2}', NULL),
	(2, 6, 1, '2026-11-28 19:44:05.555749+00', 0.6, NULL, '{"loss": 0.14285714285714285, "wave": "NaN"}', NULL),
	(2, 7, 1, '2026-11-28 19:44:05.555772+00', 0.7, NULL, '{"loss": 0.125, "wave": 1}', NULL),
	(1, 5, 2, '2026-11-28 19:44:05.685728+00', 0.5, NULL, '{"loss": 0.3333333333333333, "wave": 2}', NULL),
	(1, 6, 2, '2026-11-28 19:44:05.685776+00', 0.6, NULL, '{"loss": 0.2857142857142857, "wave": "NaN"}', NULL),
	(1, 7, 2, '2026-11-28 19:44:05.685799+00', 0.7, NULL, '{"loss": 0.25, "wave": 1}', NULL),
	(1, 8, 2, '2026-11-28 19:44:05.685815+00', 0.8, NULL, '{"loss": 0.2222222222222222, "wave": 2}', NULL),
	(1, 9, 2, '2026-11-28 19:44:05.685831+00', 0.9, NULL, '{"loss": 0.2, "wave": 0}', NULL),
	(1, 10, 2, '2026-11-28 19:44:05.685845+00', 1, NULL, '{"loss": 0.18181818181818182, "wave": "NaN"}', NULL),
	(1, 11, 2, '2026-11-28 19:44:05.685862+00', 1.1, NULL, '{"loss": 0.16666666666666666, "wave": 2}', NULL),
	(2, 4, 2, '2026-11-28 19:44:05.789133+00', 0.4, NULL, '{"loss": 0.4, "wave": 1}', NULL),
	(2, 5, 2, '2026-11-28 19:44:05.789237+00', 0.5, NULL, '{"loss": 0.3333333333333333, "wave": 2}', NULL),
	(2, 6, 2, '2026-11-28 19:44:05.789261+00', 0.6, NULL, '{"loss": 0.2857142857142857, "wave": "NaN"}', NULL),
	(2, 7, 2, '2026-11-28 19:44:05.789283+00', 0.7, NULL, '{"loss": 0.25, "wave": 1}', NULL),
	(2, 8, 2, '2026-11-28 19:44:05.789299+00', 0.8, NULL, '{"loss": 0.2222222222222222, "wave": 2}', NULL),
	(2, 9, 2, '2026-11-28 19:44:05.789313+00', 0.9, NULL, '{"loss": 0.2, "wave": 0}', NULL);

INSERT INTO public.store VALUES
	('25377e42-c453-4aa5-9c10-368de4a58732', '2026-11-28 19:44:05.351107+00');

INSERT INTO public.trainstore_version VALUES
	('0001');

INSERT INTO public.writer VALUES
	('3e7d559d-3bb7-4a81-acc7-d4fec41dd053', 1, 0, 'released-host', 'somebody', 28013, '2026-11-28 19:44:05.369209+00', '2026-11-28 19:44:05.506779+00', '2026-11-28 19:44:05.46891+00', 21, 1),
	('c100a676-e73f-432b-8f18-60f362421f7b', 1, 0, 'released-host', 'somebody', 28013, '2026-11-28 19:44:05.554649+00', '2026-11-28 19:44:05.661395+00', '2026-11-28 19:44:05.63841+00', 21, 2),
	('f77e1252-1592-4797-bfaa-5fb3bcad0767', 2, 0, 'released-host', 'somebody', 28013, '2026-11-28 19:44:05.553651+00', '2026-11-28 19:44:05.729439+00', '2026-11-28 19:44:05.720212+00', 18, 1),
	('713d75d5-d011-4a6d-b5f2-d98713087dc2', 2, 0, 'released-host', 'somebody', 28013, '2026-11-28 19:44:05.685263+00', NULL, '2026-11-28 19:44:05.7946+00', 15, 2);

SELECT pg_catalog.setval('public.event_id_seq', 29, true);

SELECT pg_catalog.setval('public.model_epoch_model_epoch_id_seq', 1, false);

SELECT pg_catalog.setval('public.run_id_seq', 2, true);

ALTER TABLE ONLY public.attempt
    ADD CONSTRAINT pk_attempt PRIMARY KEY (run_id, attempt);

ALTER TABLE ONLY public.datablob
    ADD CONSTRAINT pk_datablob PRIMARY KEY (datablob_name);

ALTER TABLE ONLY public.event
    ADD CONSTRAINT pk_event PRIMARY KEY (id);

ALTER TABLE ONLY public.hyperparam
    ADD CONSTRAINT pk_hyperparam PRIMARY KEY (run_id, namespace, key);

ALTER TABLE ONLY public.metric_summary
    ADD CONSTRAINT pk_metric_summary PRIMARY KEY (run_id, metric);

ALTER TABLE ONLY public.model
    ADD CONSTRAINT pk_model PRIMARY KEY (model_name);

ALTER TABLE ONLY public.model_epoch
    ADD CONSTRAINT pk_model_epoch PRIMARY KEY (model_epoch_id);

ALTER TABLE ONLY public.model_template
    ADD CONSTRAINT pk_model_template PRIMARY KEY (model_template_name);

ALTER TABLE ONLY public.run
    ADD CONSTRAINT pk_run PRIMARY KEY (id);

ALTER TABLE ONLY public.step_log
    ADD CONSTRAINT pk_step_log PRIMARY KEY (run_id, step, attempt);

ALTER TABLE ONLY public.store
    ADD CONSTRAINT pk_store PRIMARY KEY (uid);

ALTER TABLE ONLY public.writer
    ADD CONSTRAINT pk_writer PRIMARY KEY (uid);

ALTER TABLE ONLY public.trainstore_version
    ADD CONSTRAINT trainstore_version_pkc PRIMARY KEY (version_num);

ALTER TABLE ONLY public.attempt
    ADD CONSTRAINT uq_attempt_uid UNIQUE (uid);

ALTER TABLE ONLY public.event
    ADD CONSTRAINT uq_event_run_id_writer_uid_seq UNIQUE (run_id, writer_uid, seq);

ALTER TABLE ONLY public.model_epoch
    ADD CONSTRAINT uq_model_epoch_model_epoch_num_model_name UNIQUE (model_epoch_num, model_name);

ALTER TABLE ONLY public.run
    ADD CONSTRAINT uq_run_uid UNIQUE (uid);

CREATE INDEX ix_hyperparam_namespace_key_number ON public.hyperparam USING btree (namespace, key, number);

CREATE INDEX ix_metric_summary_metric_max ON public.metric_summary USING btree (metric, max);

CREATE INDEX ix_metric_summary_metric_min ON public.metric_summary USING btree (metric, min);

CREATE INDEX ix_run_name ON public.run USING btree (name);

CREATE INDEX ix_run_parent_run_id ON public.run USING btree (parent_run_id);

CREATE INDEX ix_run_project ON public.run USING btree (project);

CREATE INDEX ix_run_started_at ON public.run USING btree (started_at);

CREATE INDEX ix_writer_run_id ON public.writer USING btree (run_id);

ALTER TABLE ONLY public.attempt
    ADD CONSTRAINT fk_attempt_run_id FOREIGN KEY (run_id) REFERENCES public.run(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.event
    ADD CONSTRAINT fk_event_run_id FOREIGN KEY (run_id) REFERENCES public.run(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.hyperparam
    ADD CONSTRAINT fk_hyperparam_run_id FOREIGN KEY (run_id) REFERENCES public.run(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.metric_summary
    ADD CONSTRAINT fk_metric_summary_run_id FOREIGN KEY (run_id) REFERENCES public.run(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.model
    ADD CONSTRAINT fk_model_datablob_name FOREIGN KEY (datablob_name) REFERENCES public.datablob(datablob_name) ON UPDATE CASCADE ON DELETE CASCADE;

ALTER TABLE ONLY public.model_epoch
    ADD CONSTRAINT fk_model_epoch_model_name FOREIGN KEY (model_name) REFERENCES public.model(model_name) ON UPDATE CASCADE ON DELETE CASCADE;

ALTER TABLE ONLY public.model
    ADD CONSTRAINT fk_model_model_template_name FOREIGN KEY (model_template_name) REFERENCES public.model_template(model_template_name) ON UPDATE CASCADE ON DELETE CASCADE;

ALTER TABLE ONLY public.run
    ADD CONSTRAINT fk_run_parent_run_id FOREIGN KEY (parent_run_id) REFERENCES public.run(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.step_log
    ADD CONSTRAINT fk_step_log_run_id_attempt FOREIGN KEY (run_id, attempt) REFERENCES public.attempt(run_id, attempt) ON DELETE CASCADE;

ALTER TABLE ONLY public.writer
    ADD CONSTRAINT fk_writer_run_id FOREIGN KEY (run_id) REFERENCES public.run(id) ON DELETE CASCADE;

