import { cutText } from "../../components/cutText";
import type { Choice } from "../model/decisions";
import { percentText } from "./percentText";

const MOST = 4;
const INVOKE = "invoke:";

/** What the arbitrator weighed, the likeliest first: what the router expected, what the model said, what came of it. */
export function ChoiceList({ choices }: { choices: readonly Choice[] }) {
  if (choices.length < 2) return null;
  const rest = choices.length - MOST;
  return (
    <ul className="choice-list" aria-label="What was weighed">
      {choices.slice(0, MOST).map((choice, place) => (
        <li key={choice.choice}>
          <span className={place === 0 ? "strip-best" : ""}>{nameOf(choice.choice)}</span>
          <span className="faint small">
            router {percentText(choice.prior)}, {modelWords(choice)}
          </span>
          <span className="strip-share">{percentText(choice.posterior)}</span>
        </li>
      ))}
      {rest > 0 ? <li className="soft small">{rest} more, see Numbers</li> : null}
    </ul>
  );
}

/** What the model makes of a choice, beside the one that it is most for. */
function modelWords({ likelihood, evidence }: Choice): string {
  if (likelihood === null) return "no model heard";
  if (evidence === null) return `model ${percentText(likelihood)}`;
  const times = Math.exp(-evidence);
  return times < 1.05 ? "model most for it" : `model ${times < 10 ? times.toFixed(1) : Math.round(times)}× less for it`;
}

function nameOf(choice: string): string {
  return cutText(choice.startsWith(INVOKE) ? choice.slice(INVOKE.length) : choice, 80);
}
