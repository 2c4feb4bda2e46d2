import { formatAgo } from "../clock/format";
import { useNow } from "../clock/useNow";
import { Button } from "../components/Button";
import { Icon } from "../components/Icon";
import { useConnection } from "../stream/StreamProvider";

/** Says that the gateway is away, since when, and that the page comes back by itself. */
export function AwayBanner() {
  const { connection, reconnect } = useConnection();
  useNow();
  if (connection.phase !== "away" || connection.attempt < 2) return null;
  const wait = Math.max(0, Math.ceil((connection.retryAt - performance.now()) / 1000));
  return (
    <div className="banner tone-bad" role="alert">
      <Icon name="alert" />
      <p>
        <strong>The gateway does not answer.</strong> What you see was true {formatAgo(connection.since, Date.now())}.
        Runs go on without this page. Next try {wait > 0 ? `in ${wait} s` : "now"}.
      </p>
      <Button onClick={reconnect}>Try now</Button>
    </div>
  );
}
