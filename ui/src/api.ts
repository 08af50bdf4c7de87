// Asking the API: one place that knows about errors, paging and the live stream.
import { useEffect, useRef, useState } from "react";

export class ApiError extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

export type Parameters = Record<string, string | number | undefined>;

export function query(parameters: Parameters): string {
  const found = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== "");
  return found.length ? `?${new URLSearchParams(found.map(([key, value]) => [key, String(value)]))}` : "";
}

export async function ask<T>(path: string, options: RequestInit = {}): Promise<T> {
  const headers = options.body ? { "content-type": "application/json" } : undefined;
  let answer: Response;
  try {
    answer = await fetch(`/api/v1${path}`, { headers, credentials: "same-origin", ...options });
  } catch {
    throw new ApiError(0, "Leeward does not answer. Is it running? The page tries again by itself.");
  }
  if (answer.status === 401) {
    location.assign("/");
    throw new ApiError(401, "Your session has ended.");
  }
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw new ApiError(answer.status, typeof said.detail === "string" ? said.detail : `The server answered ${answer.status}.`);
  }
  return (await answer.json()) as T;
}

export interface Asked<T> { data: T | undefined; error: Error | undefined; loading: boolean; again: () => void }

/** The answer to a question, asked again when the question changes and every `seconds`. */
export function useAsk<T>(path: string | null, seconds = 0): Asked<T> {
  const [state, setState] = useState<{ path: string | null; data?: T; error?: Error }>({ path: null });
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (path === null) return;
    let gone = false;
    const load = () =>
      ask<T>(path).then(
        (data) => gone || setState({ path, data }),
        (error: Error) => gone || setState((old) => ({ path, data: old.path === path ? old.data : undefined, error })),
      );
    void load();
    const timer = seconds ? setInterval(() => document.hidden || void load(), seconds * 1000) : 0;
    return () => {
      gone = true;
      clearInterval(timer);
    };
  }, [path, seconds, round]);
  const fits = state.path === path;
  return {
    data: state.data,
    error: fits ? state.error : undefined,
    loading: path !== null && !fits,
    again: () => setRound((n) => n + 1),
  };
}

export interface Live { type: string; record: unknown }

let source: EventSource | null = null;
const listeners = new Set<(event: Live) => void>();
const states = new Set<(on: boolean) => void>();
const KINDS = ["exchange", "flow", "finding", "incident", "coverage"];

function connect(): void {
  if (source) return;
  source = new EventSource("/api/v1/stream");
  source.onopen = () => states.forEach((tell) => tell(true));
  source.onerror = () => states.forEach((tell) => tell(false));
  for (const kind of KINDS)
    source.addEventListener(kind, (event) => {
      const record: unknown = JSON.parse((event as MessageEvent<string>).data);
      listeners.forEach((listener) => listener({ type: kind, record }));
    });
}

/** What happens now. One stream for the whole page. */
export function useLive(listen: (event: Live) => void): void {
  const current = useRef(listen);
  current.current = listen;
  useEffect(() => {
    connect();
    const listener = (event: Live) => current.current(event);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
}

const GATHER_MS = 350; // others may come with it, and the store writes it down
const REST_MS = 1000; // between two numbers
const KEPT_MS = 700; // until what was told is surely in the store

/** A number that goes up soon after something of these types happened, at most once a second, and once more when it is surely kept. */
export function useChanges(types: string[]): number {
  const [round, setRound] = useState(0);
  const state = useRef({ timer: 0, heard: 0, told: 0 });
  const plan = () => {
    const now = state.current;
    now.timer ||= window.setTimeout(() => {
      Object.assign(now, { timer: 0, told: Date.now() });
      setRound((n) => n + 1);
      if (now.told - now.heard < KEPT_MS) plan();
    }, Math.max(GATHER_MS, now.told + REST_MS - Date.now()));
  };
  useLive((event) => {
    if (!types.includes(event.type)) return;
    state.current.heard = Date.now();
    plan();
  });
  useEffect(() => () => clearTimeout(state.current.timer), []);
  return round;
}

export function useConnected(): boolean {
  const [on, setOn] = useState(true);
  useEffect(() => {
    states.add(setOn);
    return () => void states.delete(setOn);
  }, []);
  return on;
}

export function download(name: string, text: string, type: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
