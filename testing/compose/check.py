#!/usr/bin/env python3
"""The compose file, started and treated as docs/deployment.md says: check.py FOLDER IMAGE NEW_IMAGE.

FOLDER is a copy of what the deployment needs; its secrets and data are made here and removed at the end. Clients talk through
nginx all the while, over TLS with the certificate verified; nothing that was acknowledged to them may be lost, doubled or
out of order. `DOCKER` names the command of the engine, `DOCKER_NETWORK` a command that runs this program where published
ports are, if that is not here.
"""
import asyncio, itertools, json, os, pathlib, random, shlex, ssl, subprocess, sys, time, uuid

import websockets

DOCKER = shlex.split(os.environ.get("DOCKER", "docker"))
FOLDER, IMAGE, NEW_IMAGE = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
PORT = os.environ["CHAT_HTTPS_PORT"]
PAIRS = 4
PATIENCE = 90


class Failed(Exception):
    pass


def run(*command, check=True, image=IMAGE, quiet=True):
    environment = {**os.environ, "CHAT_IMAGE": image}
    done = subprocess.run(command, cwd=FOLDER, env=environment, text=True, capture_output=True, timeout=240)
    if check and done.returncode:
        raise Failed(f"{shlex.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def docker(*arguments, **options):
    return run(*DOCKER, *arguments, **options)


def compose(*arguments, **options):
    return docker("compose", *arguments, **options)


def chatctl(*arguments, **options):
    return compose("run", "--rm", "--no-TTY", "--no-deps", "chatctl", *arguments, **options)


def sql(statement):
    return compose("exec", "--no-TTY", "postgres", "psql", "--username=chat", "--dbname=chat", "-tAc", statement)


def containers(service):
    return compose("ps", "--quiet", service).split()


async def in_thread(function, *arguments, **options):
    return await asyncio.get_running_loop().run_in_executor(None, lambda: function(*arguments, **options))


def ensure(holds, *what):
    if not holds:
        raise Failed(" ".join(map(str, what)))


class Client:
    """One user: reconnects as a good client does, repeats what was not answered, asks for what it missed."""

    def __init__(self, name, token, tls):
        self.name, self.token, self.tls = name, token, tls
        self.socket = None
        self.unanswered, self.acknowledged, self.received = {}, [], {}
        self.last, self.refusals, self.offline = {}, {}, []
        self.online = asyncio.Event()
        self.longest_wait = 0.0

    async def send(self, **command):
        try:
            if self.socket:
                await self.socket.send(json.dumps(command))
        except websockets.WebSocketException:
            pass

    async def say(self, to, content):
        name = str(uuid.uuid4())
        self.unanswered[name] = (time.monotonic(), {"type": "send_message", "recipientId": to, "content": content,
                                                    "clientMessageId": name, "requestId": name})
        if self.online.is_set():  # otherwise after the next login
            await self.send(**self.unanswered[name][1])

    async def on(self, event):
        kind = event["type"]
        if kind == "auth_success":
            self.online.set()
            await self.send(type="sync", conversations=self.last)
            for _, command in list(self.unanswered.values()):
                await self.send(**command)
        elif kind == "message_sent":
            since, command = self.unanswered.pop(event.get("requestId"), (None, None))
            if command:
                self.longest_wait = max(self.longest_wait, time.monotonic() - since)
                self.acknowledged.append(command["content"])
        elif "code" in event:
            reason = event["code"] + ": " + str(event.get("details"))
            self.refusals[reason] = self.refusals.get(reason, 0) + 1
            ensure(event["code"] in ("SERVICE_UNAVAILABLE", "RATE_LIMIT_EXCEEDED"), self.name, "is told", event)
            request = event.get("requestId")
            asyncio.get_running_loop().call_later(event.get("retryAfter", 1), lambda: asyncio.ensure_future(self.repeat(request)))
        elif kind in ("new_message", "sync_messages"):
            for message in event.get("messages", [event]):
                self.received.setdefault(message["seq"], (message["messageId"], message["content"]))
                ensure(self.received[message["seq"]][0] == message["messageId"], "two messages have one number")
                self.last[message["conversationId"]] = max(message["seq"], self.last.get(message["conversationId"], 0))
        elif kind in ("user_offline", "user_went_offline", "presence_update") and event.get("status", "offline") == "offline":
            self.offline.append(event)

    async def repeat(self, request):
        if request in self.unanswered and self.online.is_set():
            await self.send(**self.unanswered[request][1])

    async def live(self):
        while True:
            try:
                async with websockets.connect(f"wss://localhost:{PORT}/ws", ssl=self.tls, open_timeout=5) as self.socket:
                    await self.send(type="authenticate", token=self.token)
                    async for frame in self.socket:
                        await self.on(json.loads(frame))
            except (OSError, asyncio.TimeoutError, websockets.WebSocketException):
                pass
            self.socket = None
            self.online.clear()
            await asyncio.sleep(random.uniform(0.2, 1))


class Load:
    """Pairs of users; in each, one sends numbered messages to the other."""

    def __init__(self, users, tls):
        self.clients = [Client(name, token, tls) for name, _, token in users]
        self.ids = [user for _, user, _ in users]
        self.counters = [0] * PAIRS
        self.tasks = []
        self.paused = False

    async def start(self):
        self.tasks = [asyncio.create_task(client.live()) for client in self.clients]
        self.tasks += [asyncio.create_task(self.talk(pair)) for pair in range(PAIRS)]
        await asyncio.wait_for(asyncio.gather(*(client.online.wait() for client in self.clients)), PATIENCE)

    async def talk(self, pair):
        sender = self.clients[2 * pair]
        while True:
            if not self.paused and len(sender.unanswered) < 50:
                await sender.say(self.ids[2 * pair + 1], f"{self.counters[pair]}")
                self.counters[pair] += 1
            await asyncio.sleep(0.4)  # the limit is four a second

    async def until(self, what, condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            for task in self.tasks:
                if task.done():
                    task.result()
            ensure(time.monotonic() < deadline, "waiting in vain until", what)
            await asyncio.sleep(0.1)

    async def progress(self, what):
        """Every pair gets messages through that were sent after now."""
        marks = list(self.counters)
        def through(pair):
            return any(int(content) > marks[pair] for _, content in list(self.clients[2 * pair + 1].received.values())[-40:])
        await self.until(f"messages get through {what}", lambda: all(through(pair) for pair in range(PAIRS)))

    def reset(self):
        for client in self.clients:
            client.longest_wait, client.refusals, client.offline = 0.0, {}, []

    def report(self, what):
        longest = max(client.longest_wait for client in self.clients)
        refusals = {}
        for reason, count in (pair for client in self.clients for pair in client.refusals.items()):
            refusals[reason] = refusals.get(reason, 0) + count
        print(f"ok      {what}: the longest answer took {longest:.1f} s; refused and repeated: {refusals or 'none'}", flush=True)
        return longest

    async def settle(self):
        self.paused = True
        await self.until("everything is answered", lambda: not any(client.unanswered for client in self.clients))
        for pair in range(PAIRS):
            sender, receiver = self.clients[2 * pair], self.clients[2 * pair + 1]
            await self.until(f"pair {pair} has it all", lambda: len(receiver.received) >= len(sender.acknowledged))
            contents = [content for _, (_, content) in sorted(receiver.received.items())]
            ensure(len(contents) == len(set(contents)), "a message is stored twice")
            ensure(set(sender.acknowledged) <= set(contents), "an acknowledged message is lost")
        self.paused = False

    def total(self):
        return sum(len(client.acknowledged) for client in self.clients)


async def http(path, tls):
    reader, writer = await asyncio.open_connection("localhost", int(PORT), ssl=tls)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    status = (await reader.readline()).split()[1].decode()
    writer.close()
    return status


async def front(load, tls):
    ensure(await http("/", tls) == "200", "the web client through nginx")
    for path, status in (("/metrics", "404"), ("/metrics/", "404"), ("/ready", "403"), ("/live", "403")):
        ensure(await http(path, tls) == status, path, "is public")
    try:
        await http("/", ssl.create_default_context())
        ensure(False, "a certificate that nobody vouches for is accepted")
    except ssl.SSLError:
        pass
    # One address, one gateway.
    gateways = {line.split("\t")[1] for line in (await in_thread(chatctl, "sessions")).splitlines() if line.count("\t") >= 2}
    ensure(len(gateways) == 1, "sessions of one address are on", gateways)
    # The client's address counts, not nginx's.
    ours = {addresses["IPAddress"] for container in containers("nginx")
            for addresses in json.loads(docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", container)).values()}
    keys = compose("exec", "--no-TTY", "redis", "sh", "-c",
                   'REDISCLI_AUTH="$(cat /run/secrets/redis/password)" redis-cli --user chat --scan --pattern "chat:*"')
    ensure(not any(address in keys for address in ours), "nginx's own address is limited as a client's")
    print("ok      TLS is verified, sessions are sticky, addresses are the clients', /metrics and the probes are closed", flush=True)


def doctor(tls_file, *arguments, image=IMAGE):
    """What `chatctl doctor` says from inside, through nginx; the exit code, too."""
    command = ["compose", "run", "--rm", "--no-TTY", "--no-deps", "--env", f"SSL_CERT_FILE={tls_file}", *arguments,
               "chatctl", "doctor", "--connect-as", "user1", "--url", "https://nginx:8443"]
    done = subprocess.run([*DOCKER, *command], cwd=FOLDER, text=True, capture_output=True, timeout=240,
                          env={**os.environ, "CHAT_IMAGE": image})
    return done.returncode, done.stdout + done.stderr


async def healthy():
    code, said = await in_thread(doctor, "/run/secrets/chatctl/tls.crt")
    ensure(code == 0 and "a quiet connection outlives" in said, "chatctl doctor:", said)
    # CHAT_NOFILE of this test is less than the gateways' MAX_CONNECTIONS.
    advice = [line for line in said.splitlines() if line.startswith("advice") and "files here" not in line]
    ensure(not advice, "chatctl doctor:", said)
    print("ok      chatctl doctor finds nothing, and stays connected through nginx", flush=True)


async def renewed_certificate(load, tls):
    """Another certificate is served within seconds, and connections stay."""
    before = [client.socket for client in load.clients]
    script = "rm /secrets/nginx/tls.*; sh /usr/local/bin/secrets.sh /secrets"
    await in_thread(docker, "run", "--rm", "--user", "0:0", "--network", "none", "--volume", f"{FOLDER}/deploy/secrets:/secrets",
                    "--volume", f"{FOLDER}/deploy/secrets.sh:/usr/local/bin/secrets.sh:ro", IMAGE, "sh", "-c", script)
    since = time.monotonic()
    renewed = ssl.create_default_context(cadata=compose("exec", "--no-TTY", "nginx", "cat", "/etc/chat/tls/tls.crt") + "\n")
    while True:
        try:
            ensure(await http("/", renewed) == "200", "the web client with the new certificate")
            break
        except ssl.SSLError:
            ensure(time.monotonic() - since < 10, "the new certificate is not served")
            await asyncio.sleep(0.2)
    print(f"ok      a new certificate is served after {time.monotonic() - since:.1f} s", flush=True)
    tls.load_verify_locations(cadata=compose("exec", "--no-TTY", "nginx", "cat", "/etc/chat/tls/tls.crt") + "\n")
    ensure(before == [client.socket for client in load.clients], "connections were closed for the new certificate")
    await load.progress("with the new certificate")


BROKEN = """
services:
  postgres: {command: [postgres, -c, fsync=off, -c, synchronous_commit=off]}
  redis: {command: [redis-server, /etc/redis/redis.conf, --maxmemory-policy, allkeys-lru, --appendonly, "no", --maxmemory, "0"]}
  gateway: {environment: {TRUSTED_PROXIES: ""}, deploy: {replicas: 1}}
"""
NAMED = ("PROBLEM Postgres: fsync is off", "PROBLEM Postgres: synchronous_commit is off", "PROBLEM Redis: maxmemory-policy is allkeys-lru",
         "of no limit are in use", "aof_enabled is 0", "the gateways do not count", "PROBLEM chat_worker lacks INSERT on private_messages",
         "PROBLEM https://nginx:8443: a quiet connection ended", "1 gateways are alive", "PROBLEM MAX_CONNECTIONS",
         "PROBLEM the newest message decrypts")


async def broken_on_purpose():
    """Everything that an operator may do wrong, at once: chatctl doctor names it all."""
    (FOLDER / "docker-compose.override.yml").write_text(BROKEN)
    config = FOLDER / "deploy/nginx/nginx.conf"
    config.write_text(config.read_text().replace("proxy_read_timeout 1h;", "proxy_read_timeout 3s;"))
    await in_thread(compose, "up", "--detach", "--wait", "--wait-timeout", "180", image=NEW_IMAGE)
    await in_thread(compose, "restart", "nginx", image=NEW_IMAGE)
    await in_thread(compose, "up", "--detach", "--wait", "--wait-timeout", "180", image=NEW_IMAGE)
    sql("REVOKE INSERT ON private_messages FROM chat_worker")
    code, said = await in_thread(doctor, "/run/secrets/chatctl/tls.crt", "--env", "MAX_CONNECTIONS=many",
                                 "--env", "CHAT_ENCRYPTION_KEY=a key that nothing was ever encrypted with", image=NEW_IMAGE)
    unnamed = [named for named in NAMED if named not in said]
    ensure(code == 1 and not unnamed, "chatctl doctor does not say", unnamed, "but", said)
    print(f"ok      chatctl doctor names all {len(NAMED)} things that were broken on purpose", flush=True)


def backup_as_cron_job():
    """The container of k8s/components/backup: nobody's user, no rights, nothing to write to but the volume."""
    image = compose("config", "--format", "json")
    image = json.loads(image)["services"]["postgres"]["image"]
    made = docker("run", "--rm", "--read-only", "--user", "65532:65532", "--cap-drop", "ALL", "--tmpfs", "/backups:mode=1777",
                  "--network", os.environ["COMPOSE_PROJECT_NAME"] + "_database",
                  "--volume", f"{FOLDER}/deploy/secrets/chatctl:/run/secrets/chat:ro",
                  "--volume", f"{FOLDER}/deploy/backup:/usr/local/share/chat:ro",
                  "--env", "DATABASE_URL_FILE=/run/secrets/chat/database_url", "--env", "BACKUP_FOLDER=/backups", "--env", "KEEP_DAYS=14",
                  image, "/bin/sh", "/usr/local/share/chat/backup.sh")
    ensure(made.startswith("/backups/chat-"), "the backup of the CronJob", made)
    print("ok      the container of the CronJob makes a backup", flush=True)


async def main():
    compose("up", "--detach", "--wait", "--wait-timeout", "180")
    print("ok      the compose file starts and becomes healthy", flush=True)
    certificate = compose("exec", "--no-TTY", "nginx", "cat", "/etc/chat/tls/tls.crt")
    tls = ssl.create_default_context(cadata=certificate + "\n")
    made = compose("run", "--rm", "--no-TTY", "--no-deps", "--entrypoint", "sh", "chatctl", "-c", """
        chatctl() { command chatctl --env-file /run/secrets/chatctl/env "$@"; }
        for number in $(seq %d); do echo "user$number $(chatctl user add user$number) $(chatctl token user$number)"; done""" % (2 * PAIRS))
    users = [line.split() for line in made.splitlines() if line.startswith("user")]
    ensure(len(users) == 2 * PAIRS, "users", made)
    load = Load(users, tls)
    await load.start()
    await load.progress("at first")
    await front(load, tls)
    await healthy()
    await renewed_certificate(load, tls)

    load.reset()
    await in_thread(compose, "up", "--detach", "--wait", "--no-recreate", "--scale", "gateway=3", "--scale", "worker=3")
    ensure(len(containers("gateway")) == 3 and len(containers("worker")) == 3, "three of each")
    await load.progress("with more gateways and workers")
    load.report("scaled up")

    for service in ("worker", "gateway", "redis", "nginx", "postgres"):
        load.reset()
        container = (await in_thread(containers, service))[0]
        await in_thread(docker, "kill", "--signal", "KILL", container)
        await asyncio.sleep(1)
        await in_thread(docker, "start", container)
        await load.progress(f"after {service} was killed")
        load.report(f"{service} killed")
    await load.settle()
    print(f"ok      nothing is lost, doubled or out of order: {load.total()} messages", flush=True)

    # An upgrade: nobody is offline, and no command waits longer than a retry takes.
    load.reset()
    await in_thread(run, "sh", "deploy/upgrade.sh", image=NEW_IMAGE)
    for service in ("gateway", "worker"):
        images = {docker("inspect", "--format", "{{.Config.Image}}", container) for container in containers(service)}
        ensure(images == {NEW_IMAGE} and len(containers(service)) == 3, service, "runs", images)
    await load.progress("after the upgrade")
    longest = load.report("upgraded")
    ensure(longest < 5, "a command waited", longest, "s during an upgrade")
    ensure(not any(client.offline for client in load.clients), "somebody was told to be offline")
    await load.settle()

    # A backup under load, restored to a separate database.
    await load.progress("before the backup")
    await in_thread(compose, "run", "--rm", "--no-TTY", "--no-deps", "backup")
    await load.progress("after the backup")
    dumps = sorted((FOLDER / "deploy/backups").glob("chat-*.dump"))
    ensure(len(dumps) == 1 and dumps[0].stat().st_size > 10_000, "a dump", dumps)
    await in_thread(backup_as_cron_job)
    await load.settle()
    chatctl("verify", image=NEW_IMAGE)
    load.paused = True
    stored = int(sql("SELECT count(*) FROM private_messages"))
    await in_thread(run, "sh", "deploy/restore.sh", dumps[0].name, image=NEW_IMAGE)
    chatctl("verify", image=NEW_IMAGE)
    restored = int(sql("SELECT count(*) FROM private_messages"))
    ensure(0 < restored <= stored, restored, "of", stored, "messages are restored")
    print(f"ok      backed up and restored: {restored} of {stored} messages, and what is there is whole", flush=True)
    for task in load.tasks:
        task.cancel()

    # Without its containers and with its data.
    await in_thread(compose, "down")
    await in_thread(compose, "up", "--detach", "--wait", "--wait-timeout", "180", image=NEW_IMAGE)
    ensure(int(sql("SELECT count(*) FROM private_messages")) == restored, "messages are gone after down and up")
    again = Load(users, tls)
    await again.start()
    await again.progress("after down and up")
    for task in again.tasks:
        task.cancel()
    print("ok      taken down and up with its data", flush=True)

    # The secrets are lost and the data is kept: follows docs/deployment.md.
    await in_thread(compose, "down")
    await in_thread(docker, "run", "--rm", "--user", "0:0", "--network", "none", "--volume", f"{FOLDER}/deploy/secrets:/secrets", IMAGE,
                    "sh", "-c", "mkdir /secrets/lost && for f in postgres redis chatctl worker; do mv /secrets/$f /secrets/lost/; done")
    failed = subprocess.run([*DOCKER, "compose", "up", "--detach", "--wait"], cwd=FOLDER, text=True, capture_output=True,
                            env={**os.environ, "CHAT_IMAGE": NEW_IMAGE})
    ensure(failed.returncode, "a lost password was not noticed")
    await in_thread(run, "sh", "deploy/postgres/reset-password.sh")
    await in_thread(compose, "up", "--detach", "--wait", "--wait-timeout", "180", image=NEW_IMAGE)
    ensure(int(sql("SELECT count(*) FROM private_messages")) >= restored, "messages are gone with the secrets")
    print("ok      got back in after deploy/secrets was lost", flush=True)
    await broken_on_purpose()


try:
    asyncio.run(main())
except (Failed, subprocess.SubprocessError) as failure:
    print("FAILED ", failure, flush=True)
    open(FOLDER / "failure.log", "w").write(compose("ps", "--all", check=False) + compose("logs", check=False))
    print(f"see {FOLDER}/failure.log", flush=True)
    sys.exit(1)
finally:
    compose("--profile", "tools", "down", "--volumes", "--timeout", "5", check=False)
