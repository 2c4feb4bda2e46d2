import { getRouteApi } from "@tanstack/react-router";
import { useCallback, useMemo } from "react";
import { formatCount } from "../clock/format";
import { Button } from "../components/Button";
import { Choice } from "../components/Choice";
import { EmptyState } from "../components/EmptyState";
import { ErrorState } from "../components/ErrorState";
import { Loading } from "../components/Loading";
import { PageHead } from "../components/PageHead";
import { MessagesTable } from "./MessagesTable";
import { type MessagesSearch, matches, rolesOf } from "./messagesSearch";
import { useMessages } from "./useMessages";
import "./messages.css";

const route = getRouteApi("/messages");
const DELIVERY = [
  ["waiting", "Waiting"],
  ["delivered", "Delivered"],
] as const;

export function MessagesPage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const change = (next: Partial<MessagesSearch>) => {
    void navigate({ search: (before) => ({ ...before, ...next }), replace: true });
  };
  const all = useMessages();
  const shown = useMemo(() => all.messages.filter((one) => matches(one, search)), [all.messages, search]);
  const { fetchNextPage, isFetchingNextPage } = all;
  const more = useCallback(() => {
    if (!isFetchingNextPage) void fetchNextPage();
  }, [fetchNextPage, isFetchingNextPage]);
  const filtered = Boolean(search.role || search.delivery);
  return (
    <>
      <PageHead title="Messages" note="What the roles of workflows say to each other; each is delivered once." />
      <search className="filters" aria-label="Filter messages">
        <Choice
          label="Role"
          value={search.role ?? ""}
          options={rolesOf(all.messages).map((role) => [role, role])}
          onChange={(role) => change({ role })}
        />
        <Choice
          label="State"
          value={search.delivery ?? ""}
          options={DELIVERY}
          onChange={(delivery) => change({ delivery })}
        />
        {filtered ? (
          <>
            <button
              type="button"
              className="link-button"
              onClick={() => change({ role: undefined, delivery: undefined })}
            >
              Clear filter
            </button>
            <span className="faint small" role="status">
              {formatCount(shown.length)} of the newest {formatCount(all.messages.length)}
            </span>
          </>
        ) : null}
      </search>
      {all.isPending ? <Loading what="messages" /> : null}
      {all.error && all.messages.length === 0 ? (
        <ErrorState error={all.error} retry={() => void all.refetch()} />
      ) : null}
      {shown.length > 0 ? (
        <div className="card messages-card">
          <MessagesTable messages={shown} hasMore={all.hasNextPage} onMore={more} />
        </div>
      ) : null}
      {all.isSuccess && shown.length === 0 ? (
        <NoMessages filtered={filtered} looked={all.messages.length} onMore={all.hasNextPage ? more : undefined} />
      ) : null}
    </>
  );
}

interface NoMessagesProps {
  filtered: boolean;
  looked: number;
  onMore: (() => void) | undefined;
}

function NoMessages({ filtered, looked, onMore }: NoMessagesProps) {
  if (!filtered) {
    return (
      <EmptyState icon="messages" title="No messages yet.">
        <p>They appear when a step of a run writes to the role of another, for example a reviewer to a coder.</p>
      </EmptyState>
    );
  }
  return (
    <EmptyState icon="filter" title="No message matches this filter.">
      <p>The newest {formatCount(looked)} were looked at.</p>
      {onMore ? <Button onClick={onMore}>Look further back</Button> : null}
    </EmptyState>
  );
}
