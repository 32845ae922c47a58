BEGIN TRANSACTION;
CREATE TABLE attempts (
    call_seq INTEGER NOT NULL REFERENCES calls (seq), attempt INTEGER NOT NULL,
    sent_utc TEXT NOT NULL, latency_ms REAL, outcome TEXT, PRIMARY KEY (call_seq, attempt)
) STRICT;
INSERT INTO "attempts" VALUES(1,1,'2026-11-21T10:00:00.000+00:00',100.0,'done');
INSERT INTO "attempts" VALUES(2,1,'2026-11-21T10:00:01.000+00:00',100.0,'done');
INSERT INTO "attempts" VALUES(3,1,'2026-11-21T10:00:02.000+00:00',80.0,'429');
INSERT INTO "attempts" VALUES(3,2,'2026-11-21T10:00:05.000+00:00',NULL,NULL);
CREATE TABLE calls (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, provider TEXT NOT NULL, verb TEXT NOT NULL,
    operation TEXT NOT NULL, arm TEXT NOT NULL, gallery TEXT NOT NULL, person TEXT NOT NULL,
    photos TEXT NOT NULL, repeat INTEGER NOT NULL, state TEXT NOT NULL, sent_utc TEXT,
    done_utc TEXT, latency_ms REAL, attempts INTEGER NOT NULL DEFAULT 0, result TEXT,
    failure_kind TEXT, failure_code TEXT, failure_message TEXT
) STRICT;
INSERT INTO "calls" VALUES(1,'d003ba3e67cb9db500014c19d42c19068f59dbad015562f063d7f9304301375d','azure','create_gallery','CreateLargePersonGroup','control','audit-1-0','','[]',0,'done','2026-11-21T10:00:00.000+00:00','2026-11-21T10:00:00.100+00:00',100.0,1,'{}',NULL,NULL,NULL);
INSERT INTO "calls" VALUES(2,'a1f34fc6e8ae1f07e9d1a88668c040ae524ed85b7359edf46d657e70065013eb','azure','enrol','AddLargePersonGroupPersonFace','control','audit-1-0','ann','["aa"]',0,'done','2026-11-21T10:00:01.000+00:00','2026-11-21T10:00:01.100+00:00',100.0,1,'{"face_id": "f1"}',NULL,NULL,NULL);
INSERT INTO "calls" VALUES(3,'f2d491e062968efbccb3eea220afc2e16bc7cab4b43804ce86eb42a124690662','azure','verify','Verify','control','audit-1-0','ann','["bb"]',0,'sent','2026-11-21T10:00:05.000+00:00',NULL,NULL,2,NULL,NULL,NULL,NULL);
INSERT INTO "calls" VALUES(4,'577b3df2a77abe212380549ccdc3751fef0bcc0d36c7fedea0b7f1d2d54f1e71','azure','enrol','AddLargePersonGroupPersonFace','control','audit-1-0','ann','["aa"]',1,'planned',NULL,NULL,NULL,0,NULL,NULL,NULL,NULL);
CREATE TABLE changed_uploads (
    arm TEXT NOT NULL, photo TEXT NOT NULL, uploaded_sha256 TEXT NOT NULL, bytes INTEGER NOT NULL,
    change TEXT NOT NULL, PRIMARY KEY (arm, photo)
) STRICT;
INSERT INTO "changed_uploads" VALUES('control','aa','e823da61abfbd317f8fd39727af67cead1a5f82ce52e11be72a1efa1be34c5cf',7,'encoded as PNG');
CREATE TABLE galleries (
    name TEXT PRIMARY KEY, arm TEXT NOT NULL, state TEXT NOT NULL
) STRICT;
INSERT INTO "galleries" VALUES('audit-1-0','control','created');
CREATE TABLE observations (run_id, utc, provider, service_model, game, arm, system, level, targets,
    cloaked_fraction, probe_sha256, true_person, outcome, top_person, top_score, rank, true_score,
    true_score_source, censored, threshold, native_score, latency_ms, attempts, service_thresholds,
    UNIQUE (arm, probe_sha256) ON CONFLICT REPLACE);
INSERT INTO "observations" VALUES('two','2026-11-21T10:00:06.000+00:00','azure','v1.2','poison','control','none','none',NULL,0.0,'bb','ann','match','ann',0.97,1,0.97,'identify',0,0.0,0.97,12.0,1,'{"1e-4": 0.6}');
CREATE INDEX calls_by_state ON calls (state, seq);
COMMIT;
PRAGMA user_version = 2;
