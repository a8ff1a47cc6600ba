// The list of conversations: the server's last answer, with the events since then applied.
import type { InboxPage } from "../core/history";
import type { Message } from "../generated/protocol";
import { Live } from "./live";
import type { Inbox, InboxEntry } from "./types";

export class InboxList {
  readonly live = new Live<Inbox>(() => this.#compute());
  entries = new Map<string, InboxEntry>();
  status: Inbox["status"] = "loading";
  hasMore = false;
  #totalUnread = 0;

  update(id: string, change: (entry: InboxEntry) => Partial<InboxEntry>): void {
    this.live.apply(() => {
      const entry = this.entries.get(id);
      if (entry) this.#set({ ...entry, ...change(entry) });
    });
  }

  /** Returns false if the conversation is not in the list. */
  message(message: Message, myId: string | undefined): boolean {
    const { conversationId: id, seq, senderId, createdAt } = message;
    const isOwn = senderId === myId;
    const isMention = message.mentions?.some((one) => one.type === "everyone" || one.userId === myId);
    this.update(id, (entry) => {
      if (seq <= entry.lastSeq) return {};
      const unread = Number(!isOwn && seq > entry.readSeq);
      return {
        lastSeq: seq,
        lastActivityAt: createdAt,
        lastMessage: message,
        unreadCount: entry.unreadCount + unread,
        unreadMentions: entry.unreadMentions + (isMention ? unread : 0),
      };
    });
    return this.entries.has(id);
  }

  /** Marks as read up to `seq`; `unread` is how many messages remain, as far as known. */
  read(id: string, seq: number, unread = Infinity): void {
    this.update(id, (entry) => {
      if (seq < entry.readSeq) return {};
      const left = seq >= entry.lastSeq ? 0 : unread;
      return {
        readSeq: seq,
        unreadCount: Math.min(entry.unreadCount, left),
        unreadMentions: Math.min(entry.unreadMentions, left),
        markedUnread: false,
      };
    });
  }

  remove(id: string): void {
    this.live.apply(() => {
      this.#totalUnread -= this.entries.get(id)?.unreadCount ?? 0;
      this.entries.delete(id);
    });
  }

  /** Sets the newest conversations, or nothing if they could not be loaded. */
  answered(page?: InboxPage): void {
    if (page) {
      this.entries = new Map(page.entries.map((entry) => [entry.conversationId, entry]));
      ({ totalUnread: this.#totalUnread, hasMore: this.hasMore } = page);
      this.status = "ready";
    } else if (this.status === "loading") this.status = "failed";
    this.live.answered();
  }

  restore(entries: readonly InboxEntry[]): void {
    if (this.status !== "loading") return;
    for (const entry of entries) this.#set(entry);
    this.status = "cached";
    this.live.changed();
  }

  #set(entry: InboxEntry): void {
    this.#totalUnread += entry.unreadCount - (this.entries.get(entry.conversationId)?.unreadCount ?? 0);
    this.entries.set(entry.conversationId, entry);
  }

  #compute(): Inbox {
    const entries = [...this.entries.values()].sort(
      (a, b) => +b.pinned - +a.pinned || (a.lastActivityAt < b.lastActivityAt ? 1 : -1),
    );
    return { status: this.status, entries, totalUnread: Math.max(0, this.#totalUnread), hasMore: this.hasMore };
  }
}
