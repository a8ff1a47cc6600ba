// What a conversation's id contains: `group_…`, or the two users of a direct conversation.
export function isGroup(conversationId: string): boolean {
  return conversationId.startsWith("group_");
}

export function directId(a: string, b: string): string {
  return BigInt(a) < BigInt(b) ? `conv_${a}_${b}` : `conv_${b}_${a}`;
}

/** The other user of a direct conversation. */
export function peerOf(conversationId: string, me: string): string | undefined {
  const match = /^conv_(\d+)_(\d+)$/.exec(conversationId);
  return match ? (match[1] === me ? match[2] : match[1]) : undefined;
}

/** The conversation as a field of a command that takes either kind. */
export function target(conversationId: string): { conversationId: string } | { groupId: string } {
  return isGroup(conversationId) ? { groupId: conversationId } : { conversationId };
}
