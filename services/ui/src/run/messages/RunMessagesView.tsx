import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { listRunMessages } from "../../api/endpoints";
import { keys } from "../../api/keys";
import { formatDuration } from "../../clock/format";
import { Badge } from "../../components/Badge";
import { cutText } from "../../components/cutText";
import { EmptyState } from "../../components/EmptyState";
import { ErrorState } from "../../components/ErrorState";
import { Icon } from "../../components/Icon";
import { Loading } from "../../components/Loading";
import { LongText } from "../../components/LongText";
import { WriteButton } from "../../components/WriteButton";
import { MessageDialog } from "../header/MessageDialog";
import type { MessageView } from "../model/messages";
import { useModel, useRunView } from "../runContext";

/** What roles of the run, and people, wrote to each other. */
export function RunMessagesView() {
  const { runId, run, complete } = useRunView();
  const model = useModel();
  const [writing, setWriting] = useState(false);
  const stored = useQuery({
    queryKey: keys.runMessages(runId),
    queryFn: ({ signal }) => listRunMessages(runId, signal),
  });
  const messages = model.messages.view(stored.data);
  const loading = !complete || stored.isPending;
  return (
    <div className="run-messages">
      {run.state === "ended" ? null : (
        <div className="run-messages-bar">
          <WriteButton icon="plus" onClick={() => setWriting(true)}>
            Write to a role
          </WriteButton>
        </div>
      )}
      {stored.error && !stored.data ? <ErrorState error={stored.error} retry={() => void stored.refetch()} /> : null}
      {messages.length === 0 && loading && !stored.error ? <Loading what="the messages" /> : null}
      {messages.length === 0 && !loading ? (
        <EmptyState icon="messages" title="No messages">
          <p>Roles write to each other, for example the reviewer to the coder when changes are asked for.</p>
        </EmptyState>
      ) : null}
      <ol className="message-list">
        {messages.map((message) => (
          <li key={message.id}>
            <MessageCard message={message} since={model.timeline.start} reading={stored.isPending} />
          </li>
        ))}
      </ol>
      {writing ? <MessageDialog onClose={() => setWriting(false)} /> : null}
    </div>
  );
}

interface MessageCardProps {
  message: MessageView;
  /** Begin of the run, in milliseconds since the epoch. */
  since: number;
  reading: boolean;
}

function MessageCard({ message, since, reading }: MessageCardProps) {
  return (
    <article className="card message">
      <header className="message-head">
        <strong>{cutText(message.sender, 63)}</strong>
        <Icon name="arrow" size={14} />
        <span className="visually-hidden">to</span>
        <strong>{cutText(message.recipient, 63)}</strong>
        <span className="soft small">
          {message.hop > 0 ? `hop ${message.hop} · ` : ""}
          {formatDuration(message.sent - since)} after the begin
        </span>
        <span className="message-state">
          <StateBadge message={message} />
        </span>
      </header>
      <div className="message-text">
        {message.state === "refused" ? (
          <p className="soft">It could not be delivered: {cutText(message.reason, 500)}</p>
        ) : message.payload === null ? (
          <p className="soft">{reading ? "Reading its text…" : "Its text is not kept any more."}</p>
        ) : (
          <LongText text={message.payload} limit={2000} />
        )}
      </div>
    </article>
  );
}

function StateBadge({ message }: { message: MessageView }) {
  if (message.state === "received") {
    const after = message.received === null ? "" : ` after ${formatDuration(message.received - message.sent)}`;
    return (
      <Badge tone="ok" icon="check">
        Received{after}
      </Badge>
    );
  }
  if (message.state === "refused") {
    return (
      <Badge tone="bad" icon="cross">
        Refused
      </Badge>
    );
  }
  return (
    <Badge tone="wait" icon="clock">
      Not received yet
    </Badge>
  );
}
