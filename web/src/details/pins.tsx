// The pinned messages of a conversation, each with a link to its place.
import type { Message } from "@elitescore/chat";
import { useEffect, useState } from "react";
import { useSignedIn } from "../chat/chat";
import { target } from "../chat/ids";
import { usePeople } from "../chat/people";
import { useI18n } from "../i18n";
import { Empty, Spinner } from "../ui/empty";
import { Panel } from "./panel";

export default function Pins({ id, onClose, onJump }: { id: string; onClose: () => void; onJump: (seq: number) => void }) {
  const { t, dateTime } = useI18n();
  const { client } = useSignedIn();
  const people = usePeople();
  const [pins, setPins] = useState<readonly Message[]>();
  useEffect(() => {
    const load = () => client.request("get_pinned_messages", target(id) as { conversationId: string }).then(({ messages }) => setPins(messages), () => setPins([]));
    void load();
    const stops = (["message_pinned", "message_unpinned"] as const).map((type) => client.on(type, () => void load()));
    return () => stops.forEach((stop) => stop());
  }, [client, id]);
  return (
    <Panel title={t("pins")} onClose={onClose}>
      {!pins && <Spinner label={t("loading")} />}
      {pins?.length === 0 && <Empty icon="pin" title={t("noPins")} hint={t("noPinsHint")} />}
      <ul className="pins">
        {pins?.map((message) => (
          <li key={message.messageId}>
            <button type="button" onClick={() => onJump(message.seq)}>
              <strong dir="auto">{people.person(message.senderId)?.displayName || message.senderUsername}</strong>
              <time dateTime={message.createdAt}>{dateTime(message.createdAt)}</time>
              {/* As plain text: a link cannot stand inside a button. */}
              <span dir="auto">{message.content}</span>
            </button>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
