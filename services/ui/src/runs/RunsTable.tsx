import { type RowSelectionState, useTable } from "@tanstack/react-table";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, useEffect, useRef } from "react";
import type { ListedRun } from "../api/types";
import { columns, features } from "./columns";
import { useRowFocus } from "./useRowFocus";

const ROW_HEIGHT = 44;

interface RunsTableProps {
  rows: ListedRun[];
  hasMore: boolean;
  onMore: () => void;
  away: ReadonlySet<string>;
  selection: RowSelectionState;
  onSelection: (selection: RowSelectionState) => void;
  onOpen: (run: ListedRun) => void;
}

/** All loaded runs, of which only those in sight are in the page. One row has the focus; keys move it. */
export function RunsTable({ rows, hasMore, onMore, away, selection, onSelection, onOpen }: RunsTableProps) {
  const scroll = useRef<HTMLDivElement>(null);
  const table = useTable({
    features,
    columns,
    data: rows,
    getRowId: (run) => run.run_id,
    state: { rowSelection: selection },
    onRowSelectionChange: (update) => onSelection(typeof update === "function" ? update(selection) : update),
  });
  const models = table.getRowModel().rows;
  const virtual = useVirtualizer({
    count: models.length,
    getScrollElement: () => scroll.current,
    estimateSize: () => ROW_HEIGHT,
    getItemKey: (index) => models[index]?.id ?? index,
    overscan: 12,
    initialRect: { width: 1200, height: 800 },
  });
  const items = virtual.getVirtualItems();
  const focus = useRowFocus(models.length, scroll, (index) => virtual.scrollToIndex(index));
  useMoreAtEnd(items.at(-1)?.index ?? 0, models.length, hasMore, onMore);

  const keys = (event: KeyboardEvent) => {
    const row = models[focus.active];
    if (event.key === "Enter" && row) onOpen(row.original);
    else if ((event.key === " " || event.key === "x") && row) row.toggleSelected();
    else if (event.key === "Escape") onSelection({});
    else if (!focus.move(event.key)) return;
    event.preventDefault();
  };
  const before = items[0]?.start ?? 0;
  const after = virtual.getTotalSize() - (items.at(-1)?.end ?? 0);
  return (
    <div className="runs-scroll" ref={scroll}>
      <table
        className="table runs-table"
        // biome-ignore lint/a11y/noNoninteractiveElementToInteractiveRole: rows take the focus and can be selected
        role="grid"
        aria-label="Runs"
        aria-multiselectable="true"
        aria-rowcount={hasMore ? -1 : models.length + 1}
        onKeyDown={keys}
      >
        <thead>
          {table.getHeaderGroups().map((group) => (
            <tr key={group.id} aria-rowindex={1}>
              {group.headers.map((header) => (
                <th key={header.id} scope="col" data-column={header.column.id}>
                  <table.FlexRender header={header} />
                </th>
              ))}
            </tr>
          ))}
        </thead>
        <tbody>
          <Space height={before} />
          {items.map((item) => {
            const row = models[item.index];
            if (!row) return null;
            const run = row.original;
            return (
              <tr
                key={row.id}
                data-index={item.index}
                aria-rowindex={item.index + 2}
                aria-selected={row.getIsSelected()}
                tabIndex={item.index === focus.active ? 0 : -1}
                className={away.has(run.agent) ? "row-away" : undefined}
                title={away.has(run.agent) ? "Its agent does not answer; this is how it was last seen." : undefined}
                onFocus={() => focus.set(item.index)}
                onClick={() => onOpen(run)}
              >
                {row.getAllCells().map((cell) => (
                  <td key={cell.id} data-column={cell.column.id}>
                    <table.FlexRender cell={cell} />
                  </td>
                ))}
              </tr>
            );
          })}
          <Space height={after} />
        </tbody>
      </table>
    </div>
  );
}

/** Stands for the rows that are not in the page. */
function Space({ height }: { height: number }) {
  if (height <= 0) return null;
  return (
    // biome-ignore lint/a11y/noAriaHiddenOnFocusable: holds nothing that takes the focus
    <tr aria-hidden="true" className="space">
      <td style={{ height }} />
    </tr>
  );
}

function useMoreAtEnd(last: number, count: number, hasMore: boolean, onMore: () => void): void {
  useEffect(() => {
    if (hasMore && count > 0 && last >= count - 20) onMore();
  }, [last, count, hasMore, onMore]);
}
