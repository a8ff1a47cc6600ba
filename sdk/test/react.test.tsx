import { renderToString } from "react-dom/server";
import { expect, test } from "vitest";
import { ChatClient } from "../src/index";
import { ChatProvider, useChat, useConnection, useInbox, useMessages, useOnline, useTyping } from "../src/react";
import { ChatStore } from "../src/store";

function Everything() {
  const parts = [useConnection().name, useInbox().status, useMessages("group_a").status, useTyping("group_a").length, useOnline().size];
  return <p>{`${parts.join(" ")} ${useChat() instanceof ChatStore}`}</p>;
}

test("a server renders the empty state without a connection", () => {
  const client = new ChatClient({
    url: "ws://fake",
    getToken: () => Promise.reject(new Error("not on a server")),
  });
  const store = new ChatStore(client);
  const html = renderToString(
    <ChatProvider store={store}>
      <Everything />
    </ChatProvider>,
  );
  expect(html).toBe("<p>idle loading loading 0 0 true</p>");
  expect(client.state.name).toBe("idle");
  store.close();
  client.close();
});

test("a hook without its provider says so", () => {
  expect(() => renderToString(<Everything />)).toThrow("There is no <ChatProvider> above this component");
});
