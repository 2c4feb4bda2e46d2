import type { Choice } from "../model/decisions";

/** How each choice came to its probability. */
export function ChoiceTable({ choices }: { choices: readonly Choice[] }) {
  const withEvidence = choices.some((choice) => choice.evidence !== null);
  return (
    <div className="table-scroll">
      <table className="table">
        <caption className="visually-hidden">How each choice came to its probability</caption>
        <thead>
          <tr>
            <th scope="col">Choice</th>
            <th scope="col">Prior of the router</th>
            <th scope="col">{withEvidence ? "Evidence of the model" : "Likelihood by the model"}</th>
            <th scope="col">Posterior</th>
            <th scope="col" className="number">
              Log-probability per token
            </th>
          </tr>
        </thead>
        <tbody>
          {choices.map((choice) => (
            <tr key={choice.choice}>
              <th scope="row">{choice.choice}</th>
              <td>
                <Share value={choice.prior} kind="prior" />
              </td>
              <td>
                <Model choice={choice} />
              </td>
              <td>
                <Share value={choice.posterior} kind="posterior" />
              </td>
              <td className="number">{choice.logProbability === null ? "–" : choice.logProbability.toFixed(3)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Model({ choice: { evidence, likelihood } }: { choice: Choice }) {
  if (likelihood === null) return <span className="faint">not heard</span>;
  if (evidence === null) return <Share value={likelihood} kind="likelihood" />;
  return (
    <>
      {evidence.toFixed(2)} <span className="faint">nats</span>
    </>
  );
}

function Share({ value, kind }: { value: number; kind: string }) {
  return (
    <span className="share">
      <span className="share-track" aria-hidden="true">
        <span className={`share-bar share-${kind}`} style={{ width: `${value * 100}%` }} />
      </span>
      {value.toFixed(3)}
    </span>
  );
}
