// What a server renders and a browser takes over.
import { ChatProvider, useConnection, useMessages } from "../../src/react";
import type { ChatStore } from "../../src/store";

function Conversation({ id }: { id: string }) {
  const { messages } = useMessages(id);
  return <p>{[useConnection().name, ...messages.map(({ content }) => content)].join(" ")}</p>;
}

export function Page({ store, id }: { store: ChatStore; id: string }) {
  return (
    <ChatProvider store={store}>
      <Conversation id={id} />
    </ChatProvider>
  );
}
