import type { ComponentChildren } from "preact";
import { query, setQuery } from "../router";

export interface Column<T> {
  name: string;
  cell: (row: T) => ComponentChildren;
  sort?: (row: T) => string | number;
  number?: boolean;
}

// A page stays quick with ten thousand rows behind it: the filter reaches those that are not drawn.
export const rowsShownMax = 200;

// A table that sorts by its headers and filters by text; both are in the address bar, under the table's id.
export function Table<T>(props: {
  id: string; label: string; columns: Column<T>[]; rows: T[]; rowKey: (row: T) => string; text: (row: T) => string; empty: ComponentChildren;
}) {
  const { id, columns } = props;
  const filter = query.value.get(`${id}.q`) ?? "";
  const order = query.value.get(`${id}.sort`) ?? "";
  const descending = order.startsWith("-");
  const by = columns.find((column) => column.name === order.replace(/^-/, ""));
  let rows = filter ? props.rows.filter((row) => props.text(row).toLowerCase().includes(filter.toLowerCase())) : props.rows;
  const key = by?.sort;
  if (key) {
    rows = [...rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      return (x < y ? -1 : x > y ? 1 : 0) * (descending ? -1 : 1);
    });
  }
  if (props.rows.length === 0) return <p class="empty">{props.empty}</p>;
  return (
    <section class="table" aria-label={props.label}>
      <input
        type="search" placeholder="Filter" aria-label={`Filter ${props.label}`} value={filter}
        onInput={(event) => setQuery(`${id}.q`, event.currentTarget.value)}
      />
      <div class="scroll" tabIndex={0} role="region" aria-label={`${props.label}, scrollable`}>
        <table>
          <thead>
            <tr>
              {columns.map((column) => (
                <th
                  key={column.name} scope="col" class={column.number ? "number" : ""}
                  aria-sort={by === column ? (descending ? "descending" : "ascending") : undefined}
                >
                  {column.sort ? (
                    <button type="button" onClick={() => setQuery(`${id}.sort`, by === column && !descending ? `-${column.name}` : column.name)}>
                      {column.name}{by === column ? (descending ? " ↓" : " ↑") : ""}
                    </button>
                  ) : column.name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, rowsShownMax).map((row) => (
              <tr key={props.rowKey(row)}>
                {columns.map((column) => <td key={column.name} class={column.number ? "number" : ""}>{column.cell(row)}</td>)}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {rows.length > rowsShownMax && <p class="empty">The first {rowsShownMax} of {rows.length.toLocaleString("en")}; filter to see others.</p>}
      {rows.length === 0 && <p class="empty">Nothing matches “{filter}”.</p>}
    </section>
  );
}
