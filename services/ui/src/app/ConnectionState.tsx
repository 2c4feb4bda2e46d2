import { Icon } from "../components/Icon";
import { useConnection } from "../stream/StreamProvider";

/** Whether what is shown is live. */
export function ConnectionState() {
  const { connection } = useConnection();
  const live = connection.phase === "live";
  const word = live ? "Live" : connection.phase === "connecting" ? "Connecting" : "Not live";
  const tone = live ? "ok" : connection.phase === "connecting" ? "idle" : "bad";
  return (
    <span className={`connection tone-${tone}`} data-phase={connection.phase}>
      <Icon name={live ? "pulse" : connection.phase === "connecting" ? "dashed" : "alert"} size={14} />
      {word}
    </span>
  );
}
