// The list of conversations: what the server answered last, with the events since then applied.
import type { AllAnswers, InboxEntry } from "../core/additions";
import type { Message } from "../generated/protocol";
import { Live } from "./live";
import type { Inbox } from "./types";

/** The server counts up to here. */
const MAX_UNREAD = 1_000;

export class InboxList {
  readonly live = new Live<Inbox>(() => this.#compute());
  readonly entries = new Map<string, InboxEntry>();
  status: Inbox["status"] = "loading";
  cursor: string | undefined;
  #totalUnread = 0;
  /** What changed while an answer was on its way. */
  readonly #touched = new Set<string>();

  update(id: string, change: (entry: InboxEntry) => Partial<InboxEntry>): void {
    const entry = this.entries.get(id);
    if (!entry) return;
    this.#set({ ...entry, ...change(entry) });
    this.#touched.add(id);
    this.live.changed();
  }

  /** Returns false when the conversation is not in the list. */
  message(message: Message, myId: string | undefined): boolean {
    const { conversationId: id, seq, content, messageId, senderId, createdAt } = message;
    const isOwn = senderId === myId;
    const isMention = message.mentions?.some((one) => one.type === "everyone" || one.userId === myId);
    this.update(id, (entry) => {
      if (seq <= entry.lastSeq) return {};
      const isUnread = !isOwn && seq > entry.readSeq;
      return {
        lastSeq: seq,
        lastActivityAt: createdAt,
        lastMessage: { ...message, id: messageId, content, timestamp: createdAt },
        unreadCount: Math.min(MAX_UNREAD, entry.unreadCount + (isUnread ? 1 : 0)),
        unreadMentions: entry.unreadMentions + (isUnread && isMention ? 1 : 0),
      };
    });
    return this.entries.has(id);
  }

  /** Read up to `seq`; `unread` is how many messages that leaves. */
  read(id: string, seq: number, unread: number): void {
    this.update(id, (entry) => {
      if (seq < entry.readSeq) return {};
      const isAllRead = seq >= entry.lastSeq;
      return {
        readSeq: seq,
        unreadCount: isAllRead ? 0 : Math.min(entry.unreadCount, unread),
        unreadMentions: isAllRead ? 0 : Math.min(entry.unreadMentions, unread),
        markedUnread: false,
      };
    });
  }

  remove(id: string): void {
    this.#totalUnread -= this.entries.get(id)?.unreadCount ?? 0;
    this.entries.delete(id);
    this.#touched.add(id);
    this.live.changed();
  }

  /** An answer is asked for: from now on it may be older than what is held. */
  asked(): void {
    this.#touched.clear();
  }

  /** Pages from the newest on, as many as were held before. */
  fetched(entries: InboxEntry[], { nextCursor, totalUnread }: AllAnswers["get_inbox"]): void {
    const held = new Map(this.entries);
    this.entries.clear();
    this.#totalUnread = totalUnread;
    for (const entry of entries) this.#fetched(entry, held.get(entry.conversationId));
    for (const [id, entry] of held) if (this.#touched.has(id) && !this.entries.has(id)) this.entries.set(id, entry);
    this.#ready(nextCursor);
  }

  /** The page that follows what is held. */
  more({ entries, nextCursor }: AllAnswers["get_inbox"]): void {
    for (const entry of entries) if (!this.entries.has(entry.conversationId)) this.entries.set(entry.conversationId, entry);
    this.#ready(nextCursor);
  }

  failed(): void {
    if (this.status === "loading") this.status = "failed";
    this.live.changed();
  }

  restore(entries: readonly InboxEntry[]): void {
    for (const entry of entries) this.#set(entry);
    this.status = "cached";
    this.live.changed();
  }

  #ready(cursor: string | null | undefined): void {
    this.cursor = cursor ?? undefined;
    this.status = "ready";
    this.live.changed();
  }

  #fetched(entry: InboxEntry, held: InboxEntry | undefined): void {
    const { conversationId: id } = entry;
    if (!held) {
      // It went away in the meantime.
      if (!this.#touched.has(id)) this.entries.set(id, entry);
      return;
    }
    this.entries.set(id, entry);
    if (!this.#touched.has(id)) return;
    // Only what moves in one direction can be compared.
    if (held.lastSeq > entry.lastSeq) this.#set({ ...entry, ...held, ...(entry.participant && { participant: entry.participant }) });
    else if (held.readSeq > entry.readSeq) this.read(id, held.readSeq, held.unreadCount);
  }

  #set(entry: InboxEntry): void {
    this.#totalUnread += entry.unreadCount - (this.entries.get(entry.conversationId)?.unreadCount ?? 0);
    this.entries.set(entry.conversationId, entry);
  }

  #compute(): Inbox {
    const entries = [...this.entries.values()].sort(
      (a, b) => Number(b.pinned) - Number(a.pinned) || Date.parse(b.lastActivityAt) - Date.parse(a.lastActivityAt),
    );
    const totalUnread = Math.max(0, this.#totalUnread);
    return { status: this.status, entries, totalUnread, hasMore: this.cursor !== undefined };
  }
}
