// What happens to the lists when an event arrives. Nothing here asks the server; `refresh` says when it has to be
// asked.
import type { Clock } from "../core/environment";
import { conversationOf, type ServerEvent } from "../core/wire";
import type { Message, Reaction, SyncChangesEvent } from "../generated/protocol";
import { InboxList } from "./inbox";
import { OnlineUsers, Typing } from "./presence";
import type { ConversationSettings, InboxEntry } from "./types";
import type { MessageWindow } from "./window";

export interface StateOutput {
  myId(): string | undefined;
  /** The inbox has to be loaded again, but not by all clients at once. */
  refresh(withinMs?: number): void;
  /** The window of a conversation, which may not have been shown yet. */
  window(conversationId: string): MessageWindow;
}

type Settings = { type: "conversation_settings"; conversationId: string } & ConversationSettings;

export class StoreState {
  readonly #output: StateOutput;
  readonly inbox = new InboxList();
  readonly online = new OnlineUsers();
  readonly typing: Typing;
  readonly windows = new Map<string, MessageWindow>();

  constructor(clock: Clock, output: StateOutput) {
    this.#output = output;
    this.typing = new Typing(clock);
  }

  message(message: Message): void {
    const { conversationId: id, senderId: userId, senderUsername: username } = message;
    this.windows.get(id)?.add(message);
    this.typing.set(id, { userId, username }, false);
    if (!this.inbox.message(message, this.#output.myId())) this.#output.refresh();
  }

  changes(event: SyncChangesEvent): void {
    const { conversationId: id, stale } = event;
    if (!stale) return this.windows.get(id)?.changes(event);
    // Also one that was not shown yet: its cached data is not right, either.
    this.#output.window(id).forget();
    this.inbox.update(id, () => ({ lastSeq: 0, peerReadSeq: 0 }));
  }

  /** `ready` means that the conversation is empty and may continue. */
  gone(id: string, status: "gone" | "ready" = "gone"): void {
    this.inbox.remove(id);
    this.windows.get(id)?.clear(status);
  }

  /** Applies anything else: an event from others, or the answer to one of our own commands. */
  apply(event: ServerEvent | Settings): void {
    const id = conversationOf(event) ?? "";
    const window = this.windows.get(id);
    const me = this.#output.myId();
    const patch = (messageId: string, change: (message: Message) => Partial<Message>) =>
      window?.patch(messageId, (event as { version?: number }).version, change);
    const update = (change: (entry: InboxEntry) => Partial<InboxEntry>) => this.inbox.update(id, change);
    switch (event.type) {
      case "message_edited":
      case "group_message_edited": {
        const { messageId, content, metadata, editedAt } = event;
        patch(messageId, () => ({ content, metadata, editedAt, isEdited: true }) as Partial<Message>);
        return update(({ lastMessage }) =>
          lastMessage?.messageId === messageId ? { lastMessage: { ...lastMessage, content } } : {},
        );
      }
      case "message_deleted":
      case "group_message_deleted": {
        const entry = this.inbox.entries.get(id);
        const seq = window?.remove(({ messageId }) => messageId === event.messageId) ?? Infinity;
        // It was the newest message, or counted as unread.
        if (entry && (seq > entry.readSeq || seq >= entry.lastSeq)) this.#output.refresh();
        return;
      }
      case "reaction_added":
      case "group_reaction_added":
        return patch(event.messageId, (message) => withReaction(message, event.userId, event));
      case "reaction_removed":
      case "group_reaction_removed":
        return patch(event.messageId, (message) => withReaction(message, event.userId));
      case "message_pinned":
      case "message_unpinned":
        return patch(event.messageId, () => ({ isPinned: event.type === "message_pinned" }));
      case "message_read":
        if (event.readBy === me) return this.#read(id, event.seq, window);
        // For groups nothing repeats this, so a window that was not shown yet must also know.
        this.#output.window(id).hasRead(event.readBy, event.seq);
        return update(({ peerReadSeq = 0 }) => ({ peerReadSeq: Math.max(peerReadSeq, event.seq) }));
      case "message_delivered":
        return window?.delivered(event.seq);
      case "user_typing":
        return this.typing.set(id, event, event.isTyping);
      case "user_online":
      case "user_offline":
        return this.#online(event.user.userId, event.type === "user_online");
      case "group_created":
        return this.#output.refresh(0);
      case "group_info_updated":
        return update(() => ({ name: event.groupName }));
      case "group_deleted":
        return this.gone(id);
      case "member_removed":
      case "member_left":
        return event.userId === me ? this.gone(id) : undefined;
      case "member_promoted":
      case "member_demoted":
        return event.userId === me ? update(() => ({ myRole: event.newRole })) : undefined;
      case "ownership_transferred":
        return this.#output.refresh();
      case "conversation_deleted":
        return this.gone(id, "ready");
      case "conversation_settings": {
        const { mutedUntil, pinned, markedUnread } = event;
        return update(() => ({ mutedUntil, pinned, markedUnread }) as ConversationSettings);
      }
    }
  }

  /** Applies the user's own mark, perhaps from another device. */
  #read(id: string, seq: number, window: MessageWindow | undefined): void {
    const unread = window?.unreadAfter(seq);
    this.inbox.read(id, seq, unread);
    if (unread === undefined && seq < (this.inbox.entries.get(id)?.lastSeq ?? 0)) this.#output.refresh();
  }

  #online(userId: string, online: boolean): void {
    this.online.set(userId, online);
    for (const { conversationId, participant } of this.inbox.entries.values()) {
      if (participant?.userId === userId) this.inbox.update(conversationId, () => ({ participant: { ...participant, online } }));
    }
  }
}

export function withReaction(message: Message, userId: string, added?: Reaction): { reactions: Reaction[] } {
  const reactions = (message.reactions ?? []).filter((one) => one.userId !== userId);
  if (added) reactions.push({ userId, username: added.username, reaction: added.reaction, timestamp: added.timestamp });
  return { reactions };
}
