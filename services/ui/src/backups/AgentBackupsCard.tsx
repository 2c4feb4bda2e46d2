import { useMutation, useQueryClient } from "@tanstack/react-query";
import { createBackup, downloadBackup } from "../api/endpoints";
import { explain } from "../api/errors";
import { keys } from "../api/keys";
import type { AgentBackups, Backup } from "../api/types";
import { formatBytes, formatCount } from "../clock/format";
import { Badge } from "../components/Badge";
import { Card } from "../components/Card";
import { Icon } from "../components/Icon";
import { Time } from "../components/Time";
import { toasts } from "../components/toastStore";
import { WriteButton } from "../components/WriteButton";
import { backupFileName, saveFile } from "./saveFile";

interface AgentBackupsCardProps {
  agent: AgentBackups;
  onRestore: (backup: Backup) => void;
}

export function AgentBackupsCard({ agent, onRestore }: AgentBackupsCardProps) {
  const queries = useQueryClient();
  const create = useMutation({
    mutationFn: () => createBackup(agent.agent),
    onSuccess: ({ backup }) => toasts.show("ok", "The backup was made and verified.", backup.backup_id),
    onError: (error) => toasts.show("bad", explain(error).title, explain(error).advice),
    onSettled: () => void queries.invalidateQueries({ queryKey: keys.backups }),
  });
  return (
    <Card
      title={agent.agent}
      note={
        agent.next_time ? (
          <>
            next <Time at={agent.next_time} />
          </>
        ) : (
          "no schedule"
        )
      }
      aside={
        <WriteButton
          icon="plus"
          busy={create.isPending}
          disabled={Boolean(agent.error)}
          onClick={() => create.mutate()}
        >
          Back up now
        </WriteButton>
      }
      flush
    >
      <Trouble
        text={agent.error}
        says="The agent does not answer, so its backups cannot be listed. They lie beside its file and are safe."
      />
      <Trouble text={agent.failure} says="The last attempt of the schedule made no backup." />
      {agent.backups.length > 0 ? (
        <BackupTable agent={agent.agent} backups={agent.backups} onRestore={onRestore} />
      ) : agent.error ? null : (
        <p className="no-backups soft">No backup yet. One that is made now is verified before it counts.</p>
      )}
    </Card>
  );
}

function Trouble({ text, says }: { text: string; says: string }) {
  if (!text) return null;
  return (
    <p className="trouble" role="alert">
      <Icon name="alert" />
      <span>
        <strong>{says}</strong> {text}
      </span>
    </p>
  );
}

interface BackupTableProps {
  agent: string;
  backups: readonly Backup[];
  onRestore: (backup: Backup) => void;
}

function BackupTable({ agent, backups, onRestore }: BackupTableProps) {
  return (
    <div className="table-scroll">
      <table className="table backups-table">
        <caption className="visually-hidden">Backups of {agent}, newest first</caption>
        <thead>
          <tr>
            <th scope="col">Backup</th>
            <th scope="col">State</th>
            <th scope="col">Made</th>
            <th scope="col">Cause</th>
            <th scope="col" className="number">
              Size
            </th>
            <th scope="col" className="number">
              Runs
            </th>
            <th scope="col" className="number">
              Up to event
            </th>
            <th scope="col">
              <span className="visually-hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {backups.map((backup) => (
            <BackupRow key={backup.backup_id} agent={agent} backup={backup} onRestore={() => onRestore(backup)} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function BackupRow({ agent, backup, onRestore }: { agent: string; backup: Backup; onRestore: () => void }) {
  const download = useMutation({
    mutationFn: async () =>
      saveFile(await downloadBackup(agent, backup.backup_id), backupFileName(agent, backup.backup_id)),
    onError: (error) => toasts.show("bad", explain(error).title, explain(error).advice),
  });
  return (
    <tr>
      <th scope="row">
        <span className="mono">{backup.backup_id}</span>
        {backup.damage ? <span className="backup-damage">{backup.damage}</span> : null}
      </th>
      <td>
        {backup.damage ? (
          <Badge tone="bad" icon="alert">
            Damaged
          </Badge>
        ) : (
          <Badge tone="ok" icon="check">
            Verified
          </Badge>
        )}
      </td>
      <td className="soft">
        <Time at={backup.create_time} />
      </td>
      <td className="soft">{backup.cause}</td>
      <td className="number">{formatBytes(backup.size_bytes)}</td>
      <td className="number">{formatCount(backup.runs)}</td>
      <td className="number">{formatCount(backup.last_sequence)}</td>
      <td>
        <div className="backup-actions">
          <WriteButton
            className="button-small"
            icon="download"
            busy={download.isPending}
            aria-label={`Download ${backup.backup_id}`}
            onClick={() => download.mutate()}
          >
            Download
          </WriteButton>
          <WriteButton
            className="button-small"
            icon="restore"
            disabled={Boolean(backup.damage)}
            aria-label={`Restore ${backup.backup_id}`}
            onClick={onRestore}
          >
            Restore…
          </WriteButton>
        </div>
      </td>
    </tr>
  );
}
