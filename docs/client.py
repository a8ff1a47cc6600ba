#!/usr/bin/env python3
"""A chat client: client.py TOKEN URL [URL ...]; then lines of "<user id or group id> <text>" on stdin."""
import asyncio, itertools, json, random, sys, uuid
import websockets  # 10.4 (Debian's python3-websockets) to 17.4

socket, unanswered, seen, last = None, {}, set(), {}

async def send(**command):
    if socket:  # if it is closed, after the next login
        await asyncio.gather(socket.send(json.dumps(command)), return_exceptions=True)

async def say(to, text):
    group, name = to.startswith("group_"), str(uuid.uuid4())  # repeated under its name, a message is stored once
    where = {"type": "send_group_message", "groupId": to} if group else {"type": "send_message", "recipientId": to}
    unanswered[name] = {**where, "content": text, "clientMessageId": name, "requestId": name}
    await send(**unanswered[name])

async def on(event):
    if event["type"] == "auth_success":
        await asyncio.gather(send(type="sync", conversations=last), *(send(**command) for command in unanswered.values()))
    elif "retryAfter" in event:
        await asyncio.sleep(event["retryAfter"])
        await socket.close()  # the next login sends again what has no answer
    elif event["type"] in ("error", "auth_error", "message_sent", "group_message_sent"):
        unanswered.pop(event.get("requestId"), None)
        if "code" in event:
            print(event["code"], event["details"], file=sys.stderr)
    elif event["type"] in ("new_message", "new_group_message", "group_announcement", "sync_messages"):
        for message in event.get("messages", [event]):
            place, seq = message["conversationId"], message["seq"]
            if message["messageId"] not in seen:
                print(place, message["senderUsername"], message["content"], flush=True)
            seen.add(message["messageId"])
            last[place] = max(seq, last.get(place, 0))

async def listen(token, urls):
    global socket
    for url in itertools.cycle(urls):
        try:
            async with websockets.connect(url) as socket:
                await send(type="authenticate", token=token)
                async for frame in socket:
                    await on(json.loads(frame))
        except (OSError, asyncio.TimeoutError, websockets.WebSocketException) as error:
            print("reconnecting:", error, file=sys.stderr)
        if socket and socket.close_code == 1008:  # the token is no good
            sys.exit(socket.close_reason)
        await asyncio.sleep(random.uniform(0.5, 3))

async def main(token, *urls):
    listening = asyncio.create_task(listen(token, urls))
    while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        await say(*line.strip().split(" ", 1))
    await listening

asyncio.run(main(*sys.argv[1:]))
