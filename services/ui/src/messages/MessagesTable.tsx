import { Link } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, useState } from "react";
import type { StoredMessage } from "../api/types";
import { Badge } from "../components/Badge";
import { oneLine } from "../components/cutText";
import { Icon } from "../components/Icon";
import { LongText } from "../components/LongText";
import { Time } from "../components/Time";

interface MessagesTableProps {
  messages: readonly StoredMessage[];
  hasMore: boolean;
  onMore: () => void;
}

/** Of many messages only those in sight are in the page; each opens to show all that was said. */
export function MessagesTable({ messages, hasMore, onMore }: MessagesTableProps) {
  const scroll = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const virtual = useVirtualizer({
    count: messages.length,
    getScrollElement: () => scroll.current,
    estimateSize: () => 45,
    getItemKey: (index) => keyOf(messages[index]),
    overscan: 12,
    initialRect: { width: 1200, height: 800 },
  });
  const items = virtual.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (hasMore && last >= messages.length - 20) onMore();
  }, [hasMore, last, messages.length, onMore]);
  const toggle = (key: string) => {
    const next = new Set(open);
    if (!next.delete(key)) next.add(key);
    setOpen(next);
  };
  const after = virtual.getTotalSize() - (items.at(-1)?.end ?? 0);
  return (
    <div className="messages-scroll" ref={scroll}>
      <table className="table messages-table" aria-rowcount={hasMore ? -1 : messages.length + 1}>
        <caption className="visually-hidden">Messages between roles, newest first</caption>
        <thead>
          <tr>
            <th scope="col" className="messages-more">
              <span className="visually-hidden">All of it</span>
            </th>
            <th scope="col" className="messages-time">
              Sent
            </th>
            <th scope="col" className="messages-roles">
              From, to
            </th>
            <th scope="col">Message</th>
            <th scope="col" className="messages-state">
              State
            </th>
            <th scope="col" className="messages-run">
              Run
            </th>
          </tr>
        </thead>
        <Space height={items[0]?.start ?? 0} />
        {items.map((item) => {
          const stored = messages[item.index];
          if (!stored) return null;
          const key = keyOf(stored);
          return (
            <tbody key={key} ref={virtual.measureElement} data-index={item.index}>
              <MessageRow stored={stored} open={open.has(key)} onToggle={() => toggle(key)} />
              {open.has(key) ? (
                <tr className="message-open">
                  <td />
                  <td colSpan={5}>
                    <LongText text={stored.message.payload} />
                  </td>
                </tr>
              ) : null}
            </tbody>
          );
        })}
        <Space height={after} />
      </table>
    </div>
  );
}

interface MessageRowProps {
  stored: StoredMessage;
  open: boolean;
  onToggle: () => void;
}

function MessageRow({ stored, open, onToggle }: MessageRowProps) {
  const { message, delivered, run_id: runId } = stored;
  return (
    <tr>
      <td>
        <button
          type="button"
          className="icon-button disclosure"
          aria-expanded={open}
          aria-label={`All of the message from ${message.sender_role} to ${message.recipient_role}`}
          onClick={onToggle}
        >
          <Icon name="chevron" size={14} />
        </button>
      </td>
      <td className="soft">
        <Time at={message.create_time} />
      </td>
      <td>
        <span className="roles">
          {message.sender_role}
          <Icon name="arrow" size={13} />
          <span className="visually-hidden">to</span>
          {message.recipient_role}
        </span>
      </td>
      <td className="message-line">{oneLine(message.payload)}</td>
      <td>
        {delivered ? (
          <Badge tone="ok" icon="check">
            Delivered
          </Badge>
        ) : (
          <Badge tone="wait" icon="clock">
            Waiting
          </Badge>
        )}
      </td>
      <td>
        <Link to="/runs/$runId" params={{ runId }} className="mono">
          {runId.slice(0, 8)}
        </Link>
      </td>
    </tr>
  );
}

/** Stands for the rows that are not in the page. */
function Space({ height }: { height: number }) {
  if (height <= 0) return null;
  return (
    <tbody className="space">
      <tr>
        <td colSpan={6} style={{ height }} />
      </tr>
    </tbody>
  );
}

function keyOf(stored: StoredMessage | undefined): string {
  return stored ? `${stored.run_id} ${stored.message.message_id}` : "";
}
