import { useState } from "react";
import { formatCount } from "../clock/format";
import { cutText } from "./cutText";

/** Text from outside, as text. What is long is cut, so that a megabyte does not stop the page; all of it on demand. */
export function LongText({ text, limit = 4000 }: { text: string; limit?: number }) {
  const [whole, setWhole] = useState(false);
  const shown = whole ? text : cutText(text, limit);
  const rest = text.length - shown.length;
  return (
    <div className="long-text">
      <pre>{shown}</pre>
      {rest > 0 ? (
        <button type="button" className="link-button" onClick={() => setWhole(true)}>
          Show all ({formatCount(rest)} more characters)
        </button>
      ) : null}
    </div>
  );
}
