CREATE TABLE attempt (
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

CREATE TABLE datablob (
    datablob_name text NOT NULL,
    datablob_group_name text NOT NULL,
    datablob_hyperparams jsonb NOT NULL,
    datablob_hyperparams_flat jsonb,
    datablob_last_modified timestamp with time zone NOT NULL
);

CREATE TABLE deleted_run (
    uid character varying(36) NOT NULL,
    deleted_at timestamp with time zone NOT NULL,
    revived_at timestamp with time zone
);

CREATE TABLE event (
    id bigint DEFAULT nextval('event_id_seq'::regclass) NOT NULL,
    writer_uid character varying(36) NOT NULL,
    seq bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    step bigint,
    kind text NOT NULL,
    details jsonb,
    run_id bigint NOT NULL
);

CREATE TABLE hyperparam (
    run_id bigint NOT NULL,
    namespace character varying(16) NOT NULL,
    key text NOT NULL,
    value jsonb,
    number double precision,
    attempt integer NOT NULL
);

CREATE TABLE metric_summary (
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
) WITH (fillfactor=70);

CREATE TABLE model (
    model_name text NOT NULL,
    model_class_name text NOT NULL,
    model_last_modified timestamp with time zone NOT NULL,
    datablob_name text NOT NULL,
    model_template_name text NOT NULL
);

CREATE TABLE model_epoch (
    model_epoch_id integer DEFAULT nextval('model_epoch_model_epoch_id_seq'::regclass) NOT NULL,
    model_epoch_num integer NOT NULL,
    model_epoch_metrics jsonb NOT NULL,
    model_epoch_last_modified timestamp with time zone NOT NULL,
    steps_per_epoch integer,
    validation_steps_per_epoch integer,
    model_name text NOT NULL
);

CREATE TABLE model_template (
    model_template_name text NOT NULL,
    model_template_group_name text NOT NULL,
    model_template_hyperparams jsonb NOT NULL,
    model_template_last_modified timestamp with time zone NOT NULL
);

CREATE TABLE notification (
    writer_uid character varying(36) NOT NULL,
    seq bigint NOT NULL,
    target character varying(64) NOT NULL,
    claimed_at timestamp with time zone NOT NULL,
    sent_at timestamp with time zone,
    run_id bigint NOT NULL
);

CREATE TABLE run (
    id bigint DEFAULT nextval('run_id_seq'::regclass) NOT NULL,
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
    parent_run_id bigint,
    parent_uid character varying(36)
);

CREATE TABLE step_log (
    run_id bigint NOT NULL,
    step bigint NOT NULL,
    attempt integer NOT NULL,
    logged_at timestamp with time zone NOT NULL,
    epoch double precision,
    step_time double precision,
    metrics jsonb NOT NULL,
    details jsonb
);

CREATE TABLE store (
    uid character varying(36) NOT NULL,
    created_at timestamp with time zone NOT NULL
);

CREATE TABLE trainstore_version (
    version_num character varying(32) NOT NULL
);

CREATE TABLE writer (
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

ALTER TABLE attempt ADD CONSTRAINT fk_attempt_run_id FOREIGN KEY (run_id) REFERENCES run(id) ON DELETE CASCADE;

ALTER TABLE event ADD CONSTRAINT fk_event_run_id FOREIGN KEY (run_id) REFERENCES run(id) ON DELETE CASCADE;

ALTER TABLE hyperparam ADD CONSTRAINT fk_hyperparam_run_id FOREIGN KEY (run_id) REFERENCES run(id) ON DELETE CASCADE;

ALTER TABLE metric_summary ADD CONSTRAINT fk_metric_summary_run_id FOREIGN KEY (run_id) REFERENCES run(id) ON DELETE CASCADE;

ALTER TABLE model ADD CONSTRAINT fk_model_datablob_name FOREIGN KEY (datablob_name) REFERENCES datablob(datablob_name) ON UPDATE CASCADE ON DELETE CASCADE;

ALTER TABLE model_epoch ADD CONSTRAINT fk_model_epoch_model_name FOREIGN KEY (model_name) REFERENCES model(model_name) ON UPDATE CASCADE ON DELETE CASCADE;

ALTER TABLE model ADD CONSTRAINT fk_model_model_template_name FOREIGN KEY (model_template_name) REFERENCES model_template(model_template_name) ON UPDATE CASCADE ON DELETE CASCADE;

ALTER TABLE notification ADD CONSTRAINT fk_notification_run_id FOREIGN KEY (run_id) REFERENCES run(id) ON DELETE CASCADE;

ALTER TABLE run ADD CONSTRAINT fk_run_parent_run_id FOREIGN KEY (parent_run_id) REFERENCES run(id) ON DELETE SET NULL;

ALTER TABLE step_log ADD CONSTRAINT fk_step_log_run_id_attempt FOREIGN KEY (run_id, attempt) REFERENCES attempt(run_id, attempt) ON DELETE CASCADE;

ALTER TABLE writer ADD CONSTRAINT fk_writer_run_id FOREIGN KEY (run_id) REFERENCES run(id) ON DELETE CASCADE;

ALTER TABLE attempt ADD CONSTRAINT pk_attempt PRIMARY KEY (run_id, attempt);

ALTER TABLE datablob ADD CONSTRAINT pk_datablob PRIMARY KEY (datablob_name);

ALTER TABLE deleted_run ADD CONSTRAINT pk_deleted_run PRIMARY KEY (uid);

ALTER TABLE event ADD CONSTRAINT pk_event PRIMARY KEY (id);

ALTER TABLE hyperparam ADD CONSTRAINT pk_hyperparam PRIMARY KEY (run_id, namespace, key);

ALTER TABLE metric_summary ADD CONSTRAINT pk_metric_summary PRIMARY KEY (run_id, metric);

ALTER TABLE model ADD CONSTRAINT pk_model PRIMARY KEY (model_name);

ALTER TABLE model_epoch ADD CONSTRAINT pk_model_epoch PRIMARY KEY (model_epoch_id);

ALTER TABLE model_template ADD CONSTRAINT pk_model_template PRIMARY KEY (model_template_name);

ALTER TABLE notification ADD CONSTRAINT pk_notification PRIMARY KEY (writer_uid, seq, target);

ALTER TABLE run ADD CONSTRAINT pk_run PRIMARY KEY (id);

ALTER TABLE step_log ADD CONSTRAINT pk_step_log PRIMARY KEY (run_id, step, attempt);

ALTER TABLE store ADD CONSTRAINT pk_store PRIMARY KEY (uid);

ALTER TABLE writer ADD CONSTRAINT pk_writer PRIMARY KEY (uid);

ALTER TABLE trainstore_version ADD CONSTRAINT trainstore_version_pkc PRIMARY KEY (version_num);

ALTER TABLE attempt ADD CONSTRAINT uq_attempt_uid UNIQUE (uid);

ALTER TABLE event ADD CONSTRAINT uq_event_run_id_writer_uid_seq UNIQUE (run_id, writer_uid, seq);

ALTER TABLE model_epoch ADD CONSTRAINT uq_model_epoch_model_epoch_num_model_name UNIQUE (model_epoch_num, model_name);

ALTER TABLE run ADD CONSTRAINT uq_run_uid UNIQUE (uid);

CREATE INDEX ix_hyperparam_namespace_key_number ON public.hyperparam USING btree (namespace, key, number);

CREATE INDEX ix_metric_summary_metric_max ON public.metric_summary USING btree (metric, max);

CREATE INDEX ix_metric_summary_metric_min ON public.metric_summary USING btree (metric, min);

CREATE INDEX ix_notification_run_id ON public.notification USING btree (run_id);

CREATE INDEX ix_run_name ON public.run USING btree (name);

CREATE INDEX ix_run_parent_run_id ON public.run USING btree (parent_run_id);

CREATE INDEX ix_run_parent_uid ON public.run USING btree (parent_uid);

CREATE INDEX ix_run_project ON public.run USING btree (project);

CREATE INDEX ix_run_started_at ON public.run USING btree (started_at);

CREATE INDEX ix_writer_run_id ON public.writer USING btree (run_id);

CREATE UNIQUE INDEX pk_attempt ON public.attempt USING btree (run_id, attempt);

CREATE UNIQUE INDEX pk_datablob ON public.datablob USING btree (datablob_name);

CREATE UNIQUE INDEX pk_deleted_run ON public.deleted_run USING btree (uid);

CREATE UNIQUE INDEX pk_event ON public.event USING btree (id);

CREATE UNIQUE INDEX pk_hyperparam ON public.hyperparam USING btree (run_id, namespace, key);

CREATE UNIQUE INDEX pk_metric_summary ON public.metric_summary USING btree (run_id, metric);

CREATE UNIQUE INDEX pk_model ON public.model USING btree (model_name);

CREATE UNIQUE INDEX pk_model_epoch ON public.model_epoch USING btree (model_epoch_id);

CREATE UNIQUE INDEX pk_model_template ON public.model_template USING btree (model_template_name);

CREATE UNIQUE INDEX pk_notification ON public.notification USING btree (writer_uid, seq, target);

CREATE UNIQUE INDEX pk_run ON public.run USING btree (id);

CREATE UNIQUE INDEX pk_step_log ON public.step_log USING btree (run_id, step, attempt);

CREATE UNIQUE INDEX pk_store ON public.store USING btree (uid);

CREATE UNIQUE INDEX pk_writer ON public.writer USING btree (uid);

CREATE UNIQUE INDEX trainstore_version_pkc ON public.trainstore_version USING btree (version_num);

CREATE UNIQUE INDEX uq_attempt_uid ON public.attempt USING btree (uid);

CREATE UNIQUE INDEX uq_event_run_id_writer_uid_seq ON public.event USING btree (run_id, writer_uid, seq);

CREATE UNIQUE INDEX uq_model_epoch_model_epoch_num_model_name ON public.model_epoch USING btree (model_epoch_num, model_name);

CREATE UNIQUE INDEX uq_run_uid ON public.run USING btree (uid);

CREATE VIEW current_step_log AS
 SELECT step_log.run_id,
    step_log.step,
    step_log.attempt,
    step_log.logged_at,
    step_log.epoch,
    step_log.step_time,
    step_log.metrics,
    step_log.details
   FROM (step_log
     JOIN attempt ON (((step_log.run_id = attempt.run_id) AND (step_log.attempt = attempt.attempt))))
  WHERE (step_log.step <= attempt.end_step);
