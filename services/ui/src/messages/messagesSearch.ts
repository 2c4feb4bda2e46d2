import type { StoredMessage } from "../api/types";
import { field } from "../app/searchParams";

/** What the address of the messages says. */
export interface MessagesSearch {
  role?: string | undefined;
  /** "waiting" or "delivered". */
  delivery?: string | undefined;
}

export function messagesSearch(fields: Record<string, unknown>): MessagesSearch {
  return { role: field(fields, "role", 63), delivery: field(fields, "delivery", 16) };
}

/** A role sends or receives; both conditions must hold when both are set. */
export function matches({ message, delivered }: StoredMessage, { role, delivery }: MessagesSearch): boolean {
  if (role && message.sender_role !== role && message.recipient_role !== role) return false;
  if (delivery === "waiting") return !delivered;
  if (delivery === "delivered") return delivered;
  return true;
}

/** The roles that occur, by name. */
export function rolesOf(messages: readonly StoredMessage[]): string[] {
  const roles = new Set(messages.flatMap(({ message }) => [message.sender_role, message.recipient_role]));
  roles.delete("");
  return [...roles].sort();
}
