CREATE TABLE attempt (
	run_id INTEGER NOT NULL,
	attempt INTEGER NOT NULL,
	uid VARCHAR(36) NOT NULL,
	resumed_from INTEGER,
	start_step BIGINT NOT NULL,
	end_step BIGINT NOT NULL,
	last_step BIGINT,
	opened_at DATETIME NOT NULL,
	closed_at DATETIME,
	status VARCHAR(16) NOT NULL,
	error TEXT,
	git_commit VARCHAR(64),
	git_dirty BOOLEAN,
	command TEXT,
	host TEXT,
	versions TEXT,
	changed_hyperparams TEXT,
	CONSTRAINT pk_attempt PRIMARY KEY (run_id, attempt),
	CONSTRAINT uq_attempt_uid UNIQUE (uid),
	CONSTRAINT fk_attempt_run_id FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE
);

CREATE TABLE datablob (
	datablob_name TEXT NOT NULL,
	datablob_group_name TEXT NOT NULL,
	datablob_hyperparams JSON NOT NULL,
	datablob_hyperparams_flat JSON,
	datablob_last_modified DATETIME NOT NULL,
	CONSTRAINT pk_datablob PRIMARY KEY (datablob_name)
);

CREATE TABLE deleted_run (
	uid VARCHAR(36) NOT NULL,
	deleted_at DATETIME NOT NULL,
	revived_at DATETIME,
	CONSTRAINT pk_deleted_run PRIMARY KEY (uid)
);

CREATE TABLE event (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	writer_uid VARCHAR(36) NOT NULL,
	seq BIGINT NOT NULL,
	at DATETIME NOT NULL,
	step BIGINT,
	kind TEXT NOT NULL,
	details TEXT,
	run_id INTEGER NOT NULL,
	CONSTRAINT uq_event_run_id_writer_uid_seq UNIQUE (run_id, writer_uid, seq),
	CONSTRAINT fk_event_run_id FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE
);

CREATE TABLE hyperparam (
	run_id INTEGER NOT NULL,
	namespace VARCHAR(16) NOT NULL,
	"key" TEXT NOT NULL,
	value TEXT,
	number DOUBLE,
	attempt INTEGER NOT NULL,
	CONSTRAINT pk_hyperparam PRIMARY KEY (run_id, namespace, "key"),
	CONSTRAINT fk_hyperparam_run_id FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;

CREATE TABLE metric_summary (
	run_id INTEGER NOT NULL,
	metric TEXT NOT NULL,
	count BIGINT NOT NULL,
	nonfinite_count BIGINT NOT NULL,
	min DOUBLE,
	min_step BIGINT,
	max DOUBLE,
	max_step BIGINT,
	last DOUBLE,
	last_step BIGINT,
	CONSTRAINT pk_metric_summary PRIMARY KEY (run_id, metric),
	CONSTRAINT fk_metric_summary_run_id FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;

CREATE TABLE model (
	model_name TEXT NOT NULL,
	model_class_name TEXT NOT NULL,
	model_last_modified DATETIME NOT NULL,
	datablob_name TEXT NOT NULL,
	model_template_name TEXT NOT NULL,
	CONSTRAINT pk_model PRIMARY KEY (model_name),
	CONSTRAINT fk_model_datablob_name FOREIGN KEY(datablob_name) REFERENCES datablob (datablob_name) ON DELETE CASCADE ON UPDATE CASCADE,
	CONSTRAINT fk_model_model_template_name FOREIGN KEY(model_template_name) REFERENCES model_template (model_template_name) ON DELETE CASCADE ON UPDATE CASCADE
);

CREATE TABLE model_epoch (
	model_epoch_id INTEGER NOT NULL,
	model_epoch_num INTEGER NOT NULL,
	model_epoch_metrics JSON NOT NULL,
	model_epoch_last_modified DATETIME NOT NULL,
	steps_per_epoch INTEGER,
	validation_steps_per_epoch INTEGER,
	model_name TEXT NOT NULL,
	CONSTRAINT pk_model_epoch PRIMARY KEY (model_epoch_id),
	CONSTRAINT uq_model_epoch_model_epoch_num_model_name UNIQUE (model_epoch_num, model_name),
	CONSTRAINT fk_model_epoch_model_name FOREIGN KEY(model_name) REFERENCES model (model_name) ON DELETE CASCADE ON UPDATE CASCADE
);

CREATE TABLE model_template (
	model_template_name TEXT NOT NULL,
	model_template_group_name TEXT NOT NULL,
	model_template_hyperparams JSON NOT NULL,
	model_template_last_modified DATETIME NOT NULL,
	CONSTRAINT pk_model_template PRIMARY KEY (model_template_name)
);

CREATE TABLE notification (
	writer_uid VARCHAR(36) NOT NULL,
	seq BIGINT NOT NULL,
	target VARCHAR(64) NOT NULL,
	claimed_at DATETIME NOT NULL,
	sent_at DATETIME,
	run_id INTEGER NOT NULL,
	CONSTRAINT pk_notification PRIMARY KEY (writer_uid, seq, target),
	CONSTRAINT fk_notification_run_id FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE
);

CREATE TABLE run (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	uid VARCHAR(36) NOT NULL,
	project TEXT NOT NULL,
	name TEXT NOT NULL,
	status VARCHAR(16) NOT NULL,
	started_at DATETIME NOT NULL,
	ended_at DATETIME,
	error TEXT,
	source TEXT NOT NULL,
	last_step BIGINT,
	notes TEXT,
	model_name TEXT,
	parent_step BIGINT,
	parent_run_id INTEGER, parent_uid VARCHAR(36),
	CONSTRAINT uq_run_uid UNIQUE (uid),
	CONSTRAINT fk_run_parent_run_id FOREIGN KEY(parent_run_id) REFERENCES run (id) ON DELETE SET NULL
);

CREATE TABLE step_log (
	run_id INTEGER NOT NULL,
	step BIGINT NOT NULL,
	attempt INTEGER NOT NULL,
	logged_at DATETIME NOT NULL,
	epoch DOUBLE,
	step_time DOUBLE,
	metrics TEXT NOT NULL,
	details TEXT,
	CONSTRAINT pk_step_log PRIMARY KEY (run_id, step, attempt),
	CONSTRAINT fk_step_log_run_id_attempt FOREIGN KEY(run_id, attempt) REFERENCES attempt (run_id, attempt) ON DELETE CASCADE
);

CREATE TABLE store (
	uid VARCHAR(36) NOT NULL,
	created_at DATETIME NOT NULL,
	CONSTRAINT pk_store PRIMARY KEY (uid)
);

CREATE TABLE trainstore_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT trainstore_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE writer (
	uid VARCHAR(36) NOT NULL,
	attempt INTEGER NOT NULL,
	rank INTEGER NOT NULL,
	host TEXT NOT NULL,
	username TEXT,
	pid INTEGER NOT NULL,
	started_at DATETIME NOT NULL,
	closed_at DATETIME,
	heartbeat_at DATETIME,
	acked BIGINT NOT NULL,
	run_id INTEGER NOT NULL,
	CONSTRAINT pk_writer PRIMARY KEY (uid),
	CONSTRAINT fk_writer_run_id FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE
);

CREATE INDEX ix_hyperparam_namespace_key_number ON hyperparam (namespace, "key", number);

CREATE INDEX ix_metric_summary_metric_max ON metric_summary (metric, max);

CREATE INDEX ix_metric_summary_metric_min ON metric_summary (metric, min);

CREATE INDEX ix_notification_run_id ON notification (run_id);

CREATE INDEX ix_run_name ON run (name);

CREATE INDEX ix_run_parent_run_id ON run (parent_run_id);

CREATE INDEX ix_run_parent_uid ON run (parent_uid);

CREATE INDEX ix_run_project ON run (project);

CREATE INDEX ix_run_started_at ON run (started_at);

CREATE INDEX ix_writer_run_id ON writer (run_id);

CREATE VIEW current_step_log AS SELECT step_log.* FROM step_log JOIN attempt ON step_log.run_id = attempt.run_id AND step_log.attempt = attempt.attempt WHERE step_log.step <= attempt.end_step;
