// The small pieces that every screen is made of.
import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import { ask, type Asked, download, query, type Parameters } from "./api";
import { csv } from "./format";
import type { Severity } from "./types";

export function Badge({ severity, children }: { severity: Severity | ""; children?: ReactNode }) {
  if (!severity) return null;
  return <span className={`badge s-${severity}`}>{children ?? severity}</span>;
}

export function Tag({ children, kind = "" }: { children: ReactNode; kind?: string }) {
  return <span className={`tag ${kind}`}>{children}</span>;
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <p className="empty-title">{title}</p>
      {children && <p>{children}</p>}
    </div>
  );
}

export function Problem({ error, again }: { error: Error | undefined; again?: () => void }) {
  if (!error) return null;
  return (
    <div className="problem" role="alert">
      <span>{error.message}</span>
      {again && <button onClick={again}>Try again</button>}
    </div>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <div className="loading" role="status">
      <span className="spinner" aria-hidden="true" /> {what}…
    </div>
  );
}

/** What was asked for, or why it is not there (yet). */
export function Answer<T>({ asked, what, children }: { asked: Asked<T>; what: string; children: (data: T) => ReactNode }) {
  if (asked.data === undefined) return asked.error ? <Problem error={asked.error} again={asked.again} /> : <Loading what={what} />;
  return (
    <>
      <Problem error={asked.error} again={asked.again} />
      {children(asked.data)}
    </>
  );
}

export function Panel({ title, actions, children, className = "" }: { title: ReactNode; actions?: ReactNode; children: ReactNode; className?: string }) {
  const id = useId();
  return (
    <section className={`panel ${className}`} aria-labelledby={id}>
      <header>
        <h2 id={id}>{title}</h2>
        {actions && <div className="actions">{actions}</div>}
      </header>
      {children}
    </section>
  );
}

export function Facts({ rows }: { rows: [string, ReactNode][] }) {
  const there = rows.filter(([, value]) => value !== "" && value !== null && value !== undefined && value !== false);
  return (
    <dl className="facts">
      {there.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A sheet at the side with what was clicked; Escape closes it, and the focus goes back. */
export function Drawer({ title, close, children }: { title: ReactNode; close: () => void; children: ReactNode }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    box.current?.focus();
    const key = (event: KeyboardEvent) => event.key === "Escape" && close();
    addEventListener("keydown", key);
    return () => {
      removeEventListener("keydown", key);
      before?.focus?.();
    };
  }, [close]);
  return (
    <div className="drawer" ref={box} tabIndex={-1} role="dialog" aria-label={typeof title === "string" ? title : "Details"}>
      <header>
        <h2>{title}</h2>
        <button onClick={close} aria-label="Close">
          ✕
        </button>
      </header>
      <div className="drawer-body">{children}</div>
    </div>
  );
}

export interface Column<T> {
  head: string;
  cell: (row: T) => ReactNode;
  /** For export and for sorting in place. */
  value?: (row: T) => string | number | null | undefined;
  number?: boolean;
  wide?: boolean;
  /** Left out while no row has a value. */
  rare?: boolean;
}

interface TableProps<T> {
  name: string;
  columns: Column<T>[];
  rows: T[];
  id: (row: T) => string;
  open?: (row: T) => void;
  opened?: string;
  empty: ReactNode;
  more?: ReactNode;
  sortable?: boolean;
}

/** A table that can be read, sorted, walked with the keyboard and exported. */
export function Table<T>({ name, columns: all, rows, id, open, opened, empty, more, sortable = true }: TableProps<T>) {
  const [sort, setSort] = useState<{ at: number; down: boolean } | null>(null);
  const [most, setMost] = useState(STEP);
  const columns = all.filter((c) => !c.rare || rows.some((row) => c.value?.(row)));
  const column = sort ? columns[sort.at] : undefined;
  const shown = column?.value ? [...rows].sort((a, b) => order(column.value!(a), column.value!(b)) * (sort!.down ? -1 : 1)) : rows;
  if (!rows.length) return <>{empty}</>;
  const save = (form: "csv" | "json") => {
    const kept = columns.filter((c) => c.value);
    const text =
      form === "json" ? JSON.stringify(rows, null, 1) : csv(kept.map((c) => c.head), rows.map((row) => kept.map((c) => c.value!(row))));
    download(`leeward-${name}.${form}`, text, form === "json" ? "application/json" : "text/csv");
  };
  return (
    <>
      <div className="table-wrap" tabIndex={0} role="region" aria-label={name}>
        <table>
          <thead>
            <tr>
              {columns.map((c, at) => (
                <th key={c.head || at} className={c.number ? "number" : ""} aria-sort={sort?.at === at ? (sort.down ? "descending" : "ascending") : undefined}>
                  {sortable && c.value && c.head ? (
                    <button className="plain" onClick={() => setSort({ at, down: sort?.at === at ? !sort.down : !!c.number })}>
                      {c.head}
                      {sort?.at === at ? (sort.down ? " ↓" : " ↑") : ""}
                    </button>
                  ) : (
                    c.head || <span className="hidden">Actions</span>
                  )}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.slice(0, most).map((row) => (
              <tr
                key={id(row)}
                className={`${open ? "clickable" : ""} ${opened === id(row) ? "opened" : ""}`}
                tabIndex={open ? 0 : undefined}
                onClick={open && (() => open(row))}
                onKeyDown={open && ((event) => event.key === "Enter" && event.target === event.currentTarget && open(row))}
              >
                {columns.map((c, at) => (
                  <td key={c.head || at} className={`${c.number ? "number" : ""} ${c.wide ? "wide" : ""}`}>
                    {c.cell(row)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <footer className="table-foot">
        {shown.length > most && (
          <button onClick={() => setMost(most + 5 * STEP)}>
            {most} of {shown.length}: more
          </button>
        )}
        {more}
        <span className="spread" />
        <button className="quiet" onClick={() => save("csv")}>
          CSV
        </button>
        <button className="quiet" onClick={() => save("json")}>
          JSON
        </button>
      </footer>
    </>
  );
}

/** Rows that are put into the page at once: thousands make it slow. */
const STEP = 100;

function order(a: string | number | null | undefined, b: string | number | null | undefined): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a ?? "").localeCompare(String(b ?? ""), "en", { numeric: true });
}

interface PagedProps<T> extends Omit<TableProps<T>, "rows" | "more"> {
  path: string;
  field: string;
  parameters: Parameters;
  /** Changes when there is news: the first page is read again. */
  news?: number;
}

/** A table whose rows come from the server page by page. */
export function Paged<T>({ path, field, parameters, news = 0, ...table }: PagedProps<T>) {
  const [shown, setShown] = useState<{ path: string; question: string; rows: T[] }>();
  const [next, setNext] = useState("");
  const [error, setError] = useState<Error>();
  const [deep, setDeep] = useState(false);
  const question = `${path}${query({ limit: 100, ...parameters })}`;
  const asked = useRef("");
  useEffect(() => {
    if (deep && asked.current === question) return; // somebody reads older pages: they stay
    let gone = false;
    asked.current = question;
    setDeep(false);
    ask<Record<string, unknown>>(question).then(
      (answer) => {
        if (gone) return;
        setShown({ path, question, rows: answer[field] as T[] });
        setNext((answer.next as string) ?? "");
        setError(undefined);
      },
      (problem: Error) => gone || setError(problem),
    );
    return () => {
      gone = true;
    };
  }, [question, news, field, deep]);
  const further = () =>
    ask<Record<string, unknown>>(`${path}${query({ limit: 100, ...parameters, cursor: next })}`).then((answer) => {
      setDeep(true);
      setShown((old) => (old?.question !== question ? old : { ...old, rows: [...old.rows, ...(answer[field] as T[])] }));
      setNext((answer.next as string) ?? "");
    }, setError);
  const rows = shown?.path === path ? shown.rows : undefined; // what was shown of something else is no answer to this
  if (!rows) return error ? <Problem error={error} /> : <Loading what={`Loading ${table.name}`} />;
  return (
    <div aria-busy={shown?.question !== question && !error}>
      <Problem error={error} />
      <Table {...table} rows={rows} more={next ? <button onClick={() => void further()}>Older</button> : <span className="dim">{rows.length} rows</span>} />
    </div>
  );
}

export function Filter({ label, value, change, options }: { label: string; value: string; change: (value: string) => void; options: (string | [string, string])[] }) {
  const id = useId();
  return (
    <div className="filter">
      <label htmlFor={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => change(event.target.value)}>
        {options.map((option) => {
          const [key, name] = typeof option === "string" ? [option, option] : option;
          return (
            <option key={key} value={key}>
              {name}
            </option>
          );
        })}
      </select>
    </div>
  );
}

/** A field whose value is told when somebody stops typing. */
export function SearchField({ label, value, change, wide = false }: { label: string; value: string; change: (value: string) => void; wide?: boolean }) {
  const id = useId();
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text === value) return;
    const timer = setTimeout(() => change(text), 300);
    return () => clearTimeout(timer);
  }, [text, value, change]);
  return (
    <div className="filter">
      <label htmlFor={id}>{label}</label>
      <input id={id} type="search" className={wide ? "long" : ""} value={text} onChange={(event) => setText(event.target.value)} />
    </div>
  );
}

export const SPANS: [string, string][] = [
  ["15m", "15 minutes"],
  ["1h", "1 hour"],
  ["24h", "24 hours"],
  ["7d", "7 days"],
  ["30d", "30 days"],
];
