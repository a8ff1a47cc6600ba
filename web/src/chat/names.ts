// The displayed name of a conversation.
import type { InboxEntry } from "@elitescore/chat/store";
import type { People } from "./people";
import { isGroup, peerOf } from "./ids";

export function nameOf(conversationId: string, entry: InboxEntry | undefined, people: People, me: string): string {
  if (isGroup(conversationId)) return people.group(conversationId)?.groupName ?? entry?.name ?? "…";
  const peer = people.person(peerOf(conversationId, me) ?? "") ?? entry?.participant;
  return peer ? peer.displayName || peer.username : "…";
}
