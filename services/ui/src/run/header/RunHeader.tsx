import { Link } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { CopyButton } from "../../components/CopyButton";
import { Duration } from "../../components/Duration";
import { Icon } from "../../components/Icon";
import { LongText } from "../../components/LongText";
import { RunBadge } from "../../components/RunBadge";
import { Time } from "../../components/Time";
import { loopLabel } from "../model/loop";
import { useModel, useRunView } from "../runContext";
import { CycleSteps, HopBar } from "./Budget";
import { RunActions } from "./RunActions";
import { recoveriesText } from "./recoveries";
import { TimeLeft } from "./TimeLeft";

const PROMPT_SHOWN = 220;

export function RunHeader({ readAt }: { readAt: number }) {
  const { run } = useRunView();
  const model = useModel();
  const { loop, timeline } = model;
  const cycles = loopLabel(run.current_cycle, run.max_cycles);
  const recovered = recoveriesText(run.recoveries, timeline.lives.map((life) => life.cause).slice(1));
  return (
    <header className="run-head">
      <div className="run-head-top">
        <div className="run-title">
          <p className="run-crumbs small soft">
            <Link to="/runs">Runs</Link>
            <span aria-hidden="true">/</span>
            <span>{run.workflow}</span>
          </p>
          <Prompt text={run.prompt} />
        </div>
        <RunActions />
      </div>
      <dl className="run-facts">
        <Fact label="Status">
          <RunBadge run={run} />
        </Fact>
        {cycles ? (
          <Fact label="Loop" note={cycles}>
            <CycleSteps cycle={run.current_cycle} max={run.max_cycles} reviews={loop.reviews} />
          </Fact>
        ) : null}
        <Fact label="Hops left" note={`${run.remaining_hops} of ${run.max_hops}`}>
          <HopBar left={run.remaining_hops} max={run.max_hops} />
        </Fact>
        {run.state === "ended" ? (
          <Fact label="Took">
            <Duration from={run.create_time} to={run.end_time} />
          </Fact>
        ) : (
          <Fact label="Time left">
            <TimeLeft readAt={readAt} />
          </Fact>
        )}
        <Fact label="Begun">
          <Time at={run.create_time} />
        </Fact>
        <Fact label="Correlation id">
          <span className="run-id">
            <code title={run.correlation_id}>{run.correlation_id.slice(0, 8)}</code>
            <CopyButton text={run.correlation_id} label="correlation id" />
          </span>
        </Fact>
      </dl>
      {recovered || run.restored_from || run.reason ? (
        <ul className="run-marks">
          {run.reason ? (
            <li className="run-mark">
              <Icon name="alert" size={14} /> {run.reason}
            </li>
          ) : null}
          {recovered ? (
            <li className="run-mark tone-hold">
              <Icon name="restore" size={14} /> {recovered}
            </li>
          ) : null}
          {run.restored_from ? (
            <li className="run-mark tone-hold">
              <Icon name="backups" size={14} /> Restored from backup {run.restored_from}
            </li>
          ) : null}
        </ul>
      ) : null}
    </header>
  );
}

function Prompt({ text }: { text: string }) {
  const [open, setOpen] = useState(false);
  const long = text.length > PROMPT_SHOWN || text.includes("\n");
  if (open) {
    return (
      <div className="run-prompt-open">
        <h1 className="visually-hidden">Run</h1>
        <LongText text={text} />
        <button type="button" className="link-button small" onClick={() => setOpen(false)}>
          Show less
        </button>
      </div>
    );
  }
  return (
    <div>
      <h1 className="run-prompt">{text.slice(0, PROMPT_SHOWN * 2)}</h1>
      {long ? (
        <button type="button" className="link-button small" onClick={() => setOpen(true)}>
          Show the whole prompt
        </button>
      ) : null}
    </div>
  );
}

function Fact({ label, note, children }: { label: string; note?: string; children: ReactNode }) {
  return (
    <div className="run-fact">
      <dt>{label}</dt>
      <dd>
        {children}
        {note ? <span className="run-fact-note">{note}</span> : null}
      </dd>
    </div>
  );
}
