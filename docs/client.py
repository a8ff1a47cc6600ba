#!/usr/bin/env python3
"""A chat client in plain Python (python3-websockets), written from protocol.md alone.

    client.py TOKEN URL [URL ...]      lines on stdin: "<user id or group id> <text>"
"""
import asyncio, json, random, sys, uuid
import websockets

FINAL = {1000, 1002, 1007, 1008, 1009}  # coming back would end in the same way


class Chat:
    def __init__(self, token, urls):
        self.token, self.urls, self.socket = token, urls, None
        self.unanswered, self.seen, self.last = {}, set(), {}

    async def send(self, command):
        if self.socket and self.socket.open:  # else after the next login
            await asyncio.gather(self.socket.send(json.dumps(command)), return_exceptions=True)

    async def say(self, to, text):
        where = {"groupId": to} if to.startswith("group_") else {"recipientId": to}
        kind = "send_group_message" if "groupId" in where else "send_private_message"
        name = str(uuid.uuid4())  # under it, sending again stores nothing twice
        self.unanswered[name] = {"type": kind, **where, "content": text, "clientMessageId": name, "requestId": name}
        await self.send(self.unanswered[name])

    def show(self, message):
        if message["messageId"] not in self.seen:
            self.seen.add(message["messageId"])
            self.last[message["conversationId"]] = max(message["seq"], self.last.get(message["conversationId"], 0))
            print(message["conversationId"], message["senderUsername"], message["content"], flush=True)

    async def on(self, event):
        kind, name = event["type"], event.get("requestId")
        if kind == "connected":
            await self.socket.send(json.dumps({"type": "authenticate", "token": self.token}))
        elif kind == "auth_success":
            await self.socket.send(json.dumps({"type": "sync", "conversations": self.last}))
            for command in list(self.unanswered.values()):
                await self.send(command)
        elif kind == "auth_error" and event["code"] != "SERVICE_UNAVAILABLE":
            sys.exit(event["message"])
        elif kind in ("message_sent", "group_message_sent"):
            self.unanswered.pop(name, None)
        elif kind in ("new_message", "new_group_message", "group_announcement"):
            self.show(event)
        elif kind == "sync_messages":
            for message in event["messages"]:
                self.show(message)
        elif kind in ("error", "auth_error") and "retryAfter" in event:
            await asyncio.sleep(event["retryAfter"])
            again = {"type": "authenticate", "token": self.token} if kind == "auth_error" else self.unanswered.get(name)
            await self.send(again) if again else None
        elif kind == "error":
            self.unanswered.pop(name, None)
            print(event["code"], event["details"], file=sys.stderr, flush=True)

    async def run(self):
        attempt = 0
        while True:
            try:
                async with websockets.connect(self.urls[attempt % len(self.urls)]) as self.socket:
                    async for frame in self.socket:
                        event = json.loads(frame)
                        attempt = 0 if event["type"] == "auth_success" else attempt
                        await self.on(event)
            except (OSError, asyncio.TimeoutError, websockets.WebSocketException):
                pass
            if self.socket and self.socket.close_code in FINAL:
                sys.exit(f"closed with {self.socket.close_code}: {self.socket.close_reason}")
            attempt += 1
            await asyncio.sleep(random.uniform(0.1, 1) * min(30, 0.5 * 2 ** min(attempt, 6)))


async def main(token, *urls):
    chat = Chat(token, urls)
    running = asyncio.create_task(chat.run())
    alive = asyncio.create_task(ping(chat))
    read = lambda: asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    while line := (await read()).strip():
        await chat.say(*line.split(" ", 1))
    await running


async def ping(chat):
    while True:
        await asyncio.sleep(60)
        await chat.send({"type": "ping"})


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
