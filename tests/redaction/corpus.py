"""What must go and what must stay. Each secret is made up; the parts that must not be seen are marked by ⟨…⟩.

Written in pieces where a scanner of repositories would take a made-up secret for a real one.
"""

from __future__ import annotations

B62 = "q8ZtR41kLmP0vX7sD2wNb5Yc9GhJ3fTu6aKe"  # drawn by lot
HEX40 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b"
UUID = "6f1ed002-ab55-4589-8014-ebf0951522d9"

#: Texts. Everything inside ⟨ ⟩ must go, everything outside must stay.
SECRET_TEXTS = [
    # Tokens known by their looks
    "see ⟨hf_" + B62[:34] + "⟩ in the log",
    "⟨api_org_" + B62[:34] + "⟩",
    "⟨ghp_" + B62 + "⟩ ⟨gho_" + B62 + "⟩ ⟨ghs_" + B62 + "⟩",
    "⟨github_pat_" + "11ABCDEFG0" + B62 + "⟩",
    "⟨glpat-" + "abcDEF1234567890_xyz" + "⟩",
    "⟨sk-" + B62 + "⟩",
    "⟨sk-proj-" + B62 + "_" + B62[:9] + "⟩",
    "⟨sk-ant-api03-" + B62 + "-AA⟩",
    "⟨sk_live_" + B62[:24] + "⟩",
    "⟨AKIA" + "IOSFODNN7EXAMPLE" + "⟩, ⟨ASIA" + "IOSFODNN7EXAMPLE" + "⟩",
    "⟨xoxb-" + "123456789012-abcdefABCDEF" + "⟩ ⟨xoxp-" + "1234567890-abcdef" + "⟩ ⟨xapp-" + "1-A0123456789-abc" + "⟩",
    "⟨AIza" + "SyA-1234567890abcdefghijklmnopqrstu" + "⟩",
    "⟨ya29." + B62 + "⟩ ⟨GOCSPX-" + B62[:28] + "⟩",
    "⟨eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxMjM0NTY3ODkwIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk⟩",
    "⟨npm_" + B62 + "⟩ ⟨pypi-" + "AgEIcHlwaS5vcmc" + B62 + "⟩ ⟨gsk_" + B62 + "⟩ ⟨r8_" + B62 + "⟩ ⟨nvapi-" + B62 + "⟩",
    "⟨dapi" + HEX40[:32] + "⟩ ⟨SG." + B62[:22] + "." + B62 + "⟩",
    "https://hooks.slack.com/services/⟨T00000000/B00000000/" + B62[:24] + "⟩",
    "https://discord.com/api/webhooks/⟨123456789012345678/" + B62 + "⟩",
    "⟨-----BEGIN RSA PRIVATE KEY-----\nMIIabc+/=\n-----END RSA PRIVATE KEY-----⟩ after",
    "⟨-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\n-----END OPENSSH PRIVATE KEY-----⟩",
    "⟨-----BEGIN PGP PRIVATE KEY BLOCK-----\nxyz\n-----END PGP PRIVATE KEY BLOCK-----⟩",
    "⟨-----BEGIN ENCRYPTED PRIVATE KEY-----\nMII cut off⟩",
    # URLs
    "postgresql://me:⟨hunter2⟩@host:5432/db?sslmode=require",
    "redis://:⟨hunter2⟩@cache:6379/0",
    "amqp://guest:⟨p4@ss:word⟩@mq/vhost",
    "https://api.example.org/v1?q=1&token=⟨abc123⟩&page=2",
    "https://bucket.s3.amazonaws.com/x?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=⟨AKID/20260101/us-east-1⟩"
    "&X-Amz-Expires=900&X-Amz-Security-Token=⟨IQoJb3Jp⟩&X-Amz-Signature=⟨" + HEX40 + "⟩",
    "https://acct.blob.core.windows.net/c/b?sv=2024-01-01&se=2026-01-01&sr=b&sig=⟨aBcD%2F1234%3D⟩",
    "https://storage.googleapis.com/b/o?X-Goog-Date=20260101&X-Goog-Signature=⟨0a1b2c⟩",
    "https://maps.example.org/?key=⟨" + B62 + "⟩&zoom=3",
    "https://app.example.org/cb#access_token=⟨abc⟩&state=1",
    "https://example.org/?client_secret=⟨s3cr3t⟩&password=⟨hunter2⟩",
    # Git remotes
    "origin https://me:⟨hunter2⟩@github.com/org/repo.git (fetch)",
    "https://x-access-token:⟨" + HEX40 + "⟩@github.com/org/repo",
    "https://oauth2:⟨whatever⟩@gitlab.com/org/repo.git",
    "https://⟨" + HEX40 + "⟩@github.com/org/repo.git",
    "https://user:⟨" + B62 + "⟩@huggingface.co/org/model",
    # Command lines and environments
    "train.py --api-key ⟨hunter2⟩ --lr 0.1",
    "train.py --api-key=⟨hunter2⟩ --lr 0.1",
    "train.py --hub_token '⟨two words⟩' --lr 0.1",
    "HF_TOKEN=⟨hunter2⟩ WANDB_API_KEY=⟨" + HEX40 + "⟩ python train.py --lr=1",
    'export OPENAI_API_KEY="⟨hunter 2⟩"; run',
    "docker run -e WANDB_API_KEY=⟨abc⟩ image",
    "docker login -u me -p ⟨hunter2⟩ registry.example.org",
    "sshpass -p ⟨hunter2⟩ ssh host",
    "mysql -u root -p⟨hunter2⟩ db",
    "curl -u me:⟨hunter2⟩ https://example.org",
    "curl --user me:⟨hunter2⟩ https://example.org",
    "machine example.org login me password ⟨hunter2⟩",
    # Headers
    "Authorization: Bearer ⟨" + B62 + "⟩",
    "authorization: Basic ⟨dXNlcjpwYXNz⟩",
    "-H 'Authorization: token ⟨" + HEX40 + "⟩' https://api.github.com",
    "sent Bearer ⟨" + B62 + "⟩ to it",
    "{'Authorization': '⟨Bearer abc⟩', 'Accept': '*/*'}",
    "X-Api-Key: ⟨" + B62 + "⟩",
    "Cookie: ⟨session=abc; id=3⟩",
    # Connection strings of other kinds
    "host=db port=5432 dbname=x user=me password=⟨hunter2⟩ sslmode=require",
    "host=db password='⟨two words⟩' dbname=x",
    "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=⟨" + B62 + B62 + "==⟩;EndpointSuffix=core.windows.net",
    "Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey=⟨abcdef=⟩",
    "Driver={ODBC};Server=s;UID=me;PWD=⟨hunter2⟩;Encrypt=yes",
    # Texts of other texts: JSON, Python, INI, YAML
    '{"user": "me", "password": "⟨hunter2⟩", "n": 3}',
    r"{\"password\": \"⟨hunter2⟩\", \"n\": 3}",
    "{'hf_token': '⟨hunter2⟩', 'lr': 0.1}",
    "Config(lr=0.1, api_key='⟨hunter2⟩', n=3)",
    'client = Client(api_key="⟨hunter2⟩")',
    "b\"x\", client_secret=b'⟨hunter2⟩'",
    "aws_secret_access_key = ⟨wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY⟩\nregion = eu",
    "db:\n  password: ⟨hunter2⟩\n  host: x",
    'os.environ["HF_TOKEN"] = "⟨hunter2⟩"',
    "{'token': '⟨" + B62 + "⟩'}",
    # What errors, alerts and logs say
    "RuntimeError: login failed with token=⟨hunter2secret⟩",
    "ValueError: token=⟨abcd1234efgh⟩ is not valid (token=⟨s3cr3t-value⟩)",
    "InferenceClient(model='gpt2', token='⟨hunter2⟩')",
    '{"token": "⟨hunter2⟩", "n": 3}',
    "HTTPError: 401 for https://api.example.org/x?token=⟨hunter2⟩",
    "OSError: pass=⟨hunter2⟩ pw=⟨hunter2⟩ refused",
    "client_secret: ⟨hunter2⟩\napi-key: ⟨hunter2⟩\nX-Api-Key: ⟨hunter2⟩",
    "AWS_SECRET_ACCESS_KEY: ⟨hunter2⟩",
    "Incorrect API key provided: ⟨" + B62[:24] + "⟩. You can find yours at https://example.org",
    "invalid api key: ⟨abc123def456ghi⟩",
    "your password is ⟨hunter2⟩, which is wrong",
    "password '⟨hunter2⟩' rejected; the access token \"⟨abc123def456⟩\" too",
    "refresh_token -> ⟨hunter2⟩",
    "Authorization with token ⟨" + B62 + "⟩ failed",
    "sent Bearer ⟨hunter2⟩ to it",
    "TRAINSTORE_NOTIFY=slack://⟨TokenA/TokenB/TokenC⟩ python train.py",
    "use api_key=`⟨hunter2⟩`",
    "sent to tgram://⟨123456:ABC-DEF/chat⟩ and 'slack://⟨TokenA/TokenB⟩'",
    "https://api.telegram.org/bot⟨" + "123456789:" + "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw9⟩/sendMessage",
    "mysql://root:⟨pa/ss⟩@db/optuna failed",
    "mysql+pymysql://root:⟨p%40ss⟩@db:3306/optuna?charset=utf8mb4",
    "wandb login --relogin ⟨" + HEX40 + "⟩",
    "[('authorization', 'Bearer ⟨hunter2⟩'), ('x-api-key', '⟨hunter2⟩'), ('accept', '*/*')]",
    "Command '['hf', 'login', '--token', '⟨hunter2⟩', '--x', 'y']' failed, password=⟨123456⟩",
    # In source code, in a repr of a text, in colour
    'api_key: str = "⟨hunter2⟩", password: str | None = "⟨two words⟩",',
    "ValueError('config:\\napi_key=⟨hunter2⟩ is wrong\\n\\ttoken=⟨hunter2⟩')",
    "password = '''⟨hunter2⟩''', api_key=\"\"\"⟨hunter2⟩\"\"\"",
    "db:\n  password: |\n    ⟨hunter2⟩\n  host: x",
    r"'password: >-\n  ⟨hunter2⟩\n'",
    "- name: HF_TOKEN\n  value: ⟨hunter2⟩\n- name: HOME\n  value: /root1",
    '[{"name": "HF_TOKEN", "value": "⟨hunter2⟩"}, {"name": "lr", "value": "1e-4"}]',
    "requests.get(url, auth=('me', '⟨hunter2⟩')), HTTPBasicAuth('me', '⟨two words⟩')",
    "docker login with ⟨dckr_pat_" + B62[:27] + "⟩",
    "\x1b[31mapi_key\x1b[0m=\x1b[32m'⟨hunter2⟩'\x1b[0m and \x1b[1;31mpassword: \x1b[0m⟨hunter2⟩\x1b[0m",
]

#: Texts that must not change.
PLAIN_TEXTS = [
    # Names and words
    "hf_hub", "hf_transfer_enabled", "hf_internal_testing", "sk-learn", "sk-learn-intelex-benchmarks-long", "key",
    "AKIA", "token", "passes", "the monkey bypasses the author's secret garden", "api_key", "--api-key", "password",
    "- `api_key`: your API key\n- `password`: str", "PASS: test_attention_fp16_sm90",
    "token: llama-3.2-1b", "basic v2.0-beta1",
    "[('token', 'gpt2'), ('pass', 'fp16')]", "- name: token\n  value: gpt2\n- name: layer1\n  value: 64x64",
    "Basic training of the basic tokenizer", "basic tokenization", "the bearer of this note", "bearer instruments",
    "pass@1: 0.4", "pass_at_k=10", "use --token to log in", "argument --api-key: expected one argument",
    "password authentication failed for user \"me\"", "Password: required", "the password is: expected",
    "error: secret: not found", "note: cookie: chocolate", "github_pat_", "ghosts_and_other_things_in_the_machine",
    # Tokenizers and models
    "<|endoftext|>", "[CLS]", "[PAD]", "eos_token='</s>', pad_token='<pad>', additional_special_tokens=['<image>']",
    "AddedToken(\"<s>\", rstrip=False)", "max_tokens=512 num_memory_tokens=4", "use_cls_token=True",
    "tokenizer=meta-llama/Llama-3.1-8B", "token_type_ids", "num_key_value_heads: 8", "key_dim=64",
    "hub_model_id='me/x'", "cls_token=first12345", "decoder_start_token_id=0", "KeyError: 'token'",
    "token='Ġthe'", "token: 'the'",
    "pad_token: '<|finetune_right_pad_id|>'", "loss_per_token=0.123456789012",
    "token=5", "cookies=-1.5e-05", "secrets: 12.5e3", "api_key=nan", "parser.add_argument('--token', '-t')",
    "token=1.5e-05", "token=1024MB", "pass=12.5ms/it", "token=extra_id_0", "token=image_token_12",
    "unexpected token: <eos>", "unexpected token: layer12", "token: image_token_12", "Invalid token: understanding",
    "{'token': 'Ġhello', 'id': 5}", "token='##ing12'", "token='<|reserved_special_token_12|>'", "token=[unused12]",
    "KeyError: 'token' model_12ab34cd56", "the tokens 12ab34cd56ef78 of layer12", "max_tokens=100, tokens: 4096a",
    "passes: 12, pass: epoch12", "a token of length12", "the key is layer12a", "the secret is 12345678",
    "loss/token=0.5 token/loss: 1e-3 tokens/s=1.2e5", "api_key (the api key) is required", "an access token is needed",
    "password: str = \"\", api_key: str, token: Optional[str] = None", "def f(password: bytes | str) -> str:",
    "(using password: YES)", "password: field required", "`api_key=`)", "steps=[('pass', 'passthrough')]",
    "('CookieJar', 'DummyCookieJar')", "bearer instruments of gpt2xl", "basic resnet18 and basic block_12",
    # Digests, ids, versions, paths
    HEX40, f"commit {HEX40}", f"git@{HEX40}", f"revision={HEX40}", f"sha256:{HEX40}{HEX40[:24]}", UUID, f"run {UUID}",
    "dataset fingerprint 6f1ed002ab559585", "sha512-q8ZtR41kLmP0vX7sD2wNb5Yc9GhJ3fTu6aKeq8ZtR41kLmP0vX7sD2wN==",
    "md5=1B2M2Y8AsgTpgAmY7PhCfg==", "/home/me/.cache/huggingface/token_files/model-00001-of-00002.safetensors",
    "C:\\Users\\me\\keys\\public.pem", "s3://bucket/path/key-1/part-0001.parquet", "torch==2.6.0+cu124",
    "-----BEGIN CERTIFICATE-----\nMIIabc\n-----END CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----\nMIIabc",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ me@host",
    # Addresses
    "a@b.org", "postgresql://me@host/db", "postgresql://host:5432/db", "https://host:8080/path", "http://[::1]:80/",
    "https://huggingface.co/gpt2?revision=main", "https://example.org/?page_token=next&max_tokens=5&sort_key=name",
    "https://example.org/a?time=12:30@utc", "https://me@example.org/repo.git", "ssh://git@github.com/org/repo.git",
    "https://host:8080/path/me@x", "s3://bucket/a:b/c@d", "ray://head:10001", "http://[::1]:80/a@b", "signals://",
    "git@github.com:org/repo.git", "git+ssh://git@github.com:22/org/repo.git", "git://example.org/repo.git",
    "https://github.com/org/repo.git", "file:///home/me/repo", "tcp://10.0.0.1:29500", "see https://x.org: me@y.org",
    # Command lines
    "train.py --lr 0.1 -p 3 --tokenizer gpt2 --max-tokens 512 --key-dim 64 --pass-through yes", "python -m x -p secret",
    "PWD=/home/me OLDPWD=/tmp python train.py", "mysql -u root -p db", "docker run -p 8080:80 image", "curl -u me https://x.org",
    "usage: train.py [-h] [--token TOKEN] [--api-key API_KEY]\n  --password PASSWORD  of it\n  --api-key KEY  x",
    "TOKENIZERS_PARALLELISM=false KEYS=3 python x.py", "docker login -u me --password-stdin",
    # Source code, as tracebacks show it
    "login(token=token)", "token = os.environ[\"HF_TOKEN\"]", "password = getpass()", "api_key=args.api_key,",
    "self.hub_token = hub_token", "def f(token: str | None = None, password=None):", "if token == expected_token:",
    "session_token = boto3.client('sts').get()", "api_key = cfg.key2, hub_token = secrets2[0]",
    "requests.get(auth=(user, pw))", 'password = input("password: ")',
    'raise ValueError("wrong password: " + shown + " given")', "api_key=YOUR_API_KEY", "| password: | text |",
    "api_key=self._api_key", "hub_token=None", "password=${DB_PASSWORD}", "token: ${{ secrets.HF_TOKEN }}",
    "api_key=<your key>", "password=****", "  File \"x.py\", line 3, in secret_function", "secret_size=3",
]  # fmt: skip

#: Under each of these names a text goes, whatever it is.
SECRET_KEYS = """
hub_token push_to_hub_token hf_token HF_TOKEN token access_token refresh_token password PASSWORD db_password passwd
PGPASSWORD sslpassword db_pass pass passphrase secret client_secret api_key apikey API_KEY OPENAI_API_KEY
openai.api_key AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID wandb_api_key private_key private-key credentials authorization
Authorization bearer auth_token authToken hubToken apiKey accessToken clientSecret userPassword github_token GH_TOKEN
NPM_TOKEN use_auth_token comet_api_key ssh_private_key slack_token bot_token secret_key x-api-key session_cookie
sas_token api_keys access_tokens encryption_key signing_key wandb_key openaiKey db_pwd WANDB_API_KEY aws_session_token
JWT_SECRET oauth_token service_token smtp_pass secrets
""".split()  # noqa: SIM905

#: Under these a text that looks drawn by lot goes, and any other stays.
DOUBTFUL_KEYS = """
databricks_token mlflow_tracking_token account_key my_token vendorKey user_token storage_key api_key_name secret_name
""".split()  # noqa: SIM905

#: Under each of these an ordinary text stays.
PLAIN_KEYS = """
eos_token bos_token pad_token unk_token mask_token sep_token cls_token eos_token_id bos_token_id image_token boi_token
additional_special_tokens max_tokens num_tokens token_type_ids tokenizer tokenizer_name max_new_tokens push_to_hub
include_num_input_tokens_seen hub_model_id hub_strategy key keys key_dim key_size monkey num_key_value_heads passes
compass bypass first_pass forward_pass pass_at_1 loss_per_token decoder_start_token tokens_per_second author authority
private hub_private_repo hub_always_push primary_key sort_key use_cls_token num_memory_tokens prefix_token secretary
user_token pad_token_id special_tokens_map tokenizer_class key_proj query_key_value keyword password_file secret_size
secret_name api_key_name credentials_path private_key_path token_budget tokenization passthrough basic tokens
key_value_cache keypoints image_token_index cookie_path auth_type
""".split()  # noqa: SIM905

#: What a training stores under harmless names; none of it may change.
PLAIN_VALUES = {
    "model_name_or_path": "meta-llama/Llama-3.1-8B-Instruct",
    "revision": HEX40,
    "dataset_fingerprint": "6f1ed002ab559585",
    "cache_key": HEX40,
    "dataset_key": UUID,
    "best_model_key": "checkpoint-500/model-00001.safetensors",
    "sort_key": "model.layers.0.self_attn.q_proj.weight",
    "pad_token": "<|finetune_right_pad_id|>",
    "image_token": "<image_placeholder_token_00001>",
    "token_type_ids": [0, 1],
    "tokens": ["a", "b"],
    "tags": ["v1", "use_cls_token"],
    "run_uid": UUID,
    "checksum": "sha256-q8ZtR41kLmP0vX7sD2wNb5Yc9GhJ3fTu6aKe=",
    "output_dir": "/data/keys/run-2026-01-01/checkpoint-10",
    "token": True,
    "hub_token": None,
    "secret": 3,
    "passes": {"first": 1, "second": "two"},
    "argv": ["train.py", "--tokenizer", "gpt2", "--max-tokens", "5"],
    "entry": {"name": "TOKENIZERS_PARALLELISM", "value": "false"},
    "key": "loss",
    "pass": float("inf"),
}

#: Structures; a text that holds the canary must go wherever it stands.
CANARY = "c4n4ry"
SECRET_VALUES = [
    {"a": {"b": [{"hub_token": CANARY}]}},
    {"credentials": {"user": CANARY, "pin": [CANARY]}},
    {"env": {"HF_TOKEN": CANARY, "HOME": "/root"}},
    {"env": [{"name": "HF_TOKEN", "value": CANARY}]},
    {"argv": ["train.py", "--api-key", CANARY, "--lr", "1"]},
    {"argv": ["train.py", f"--api-key={CANARY}"]},
    {"argv": ["env", f"HF_TOKEN={CANARY}", "python"]},
    {"command": ["sshpass", "-p", CANARY, "ssh", "host"]},
    {"command": f"HF_TOKEN={CANARY} python train.py"},
    {"auth": ["me", CANARY]},
    {"remote": f"https://me:{CANARY}@github.com/org/repo.git"},
    {"api_keys": [CANARY, CANARY]},
    {"headers": {"Authorization": f"Bearer {CANARY}", "Accept": "*/*"}},
    {"config": '{"password": "' + CANARY + '"}'},
    {"object": {"$repr": f"Config(api_key='{CANARY}')"}},
    {f"https://me:{CANARY}@host/": 1},
    {"password": f"{CANARY}\x00"},
    {"argv": ["train.py", f"+hub_token={CANARY}", f"++wandb.api_key={CANARY}", f"~model.token={CANARY}0815"]},
    {"model.token": f"{CANARY}0815"},
    {"TRAINSTORE_NOTIFY": f"slack://{CANARY}"},
    {"addresses": [f"tgram://{CANARY}/1"]},
]
