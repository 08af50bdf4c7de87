// Where we are: everything that is looked at has an address, after the #.
import { useEffect, useState } from "react";

export interface Place { page: string; id: string; params: URLSearchParams }

function here(): Place {
  const [path = "", search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [page = "", ...rest] = path.split("/");
  return { page: page || "overview", id: decodeURIComponent(rest.join("/")), params: new URLSearchParams(search) };
}

export function usePlace(): Place {
  const [place, setPlace] = useState(here);
  useEffect(() => {
    const moved = () => setPlace(here());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return place;
}

export function link(page: string, id = "", params: Record<string, string | undefined> = {}): string {
  const found = Object.entries(params).filter(([, value]) => value) as [string, string][];
  const search = found.length ? `?${new URLSearchParams(found)}` : "";
  return `#/${page}${id ? `/${encodeURIComponent(id)}` : ""}${search}`;
}

/** Changes parameters of the place we are at, without a new entry in the history. */
export function adjust(changes: Record<string, string | undefined>): void {
  const { page, id, params } = here();
  for (const [key, value] of Object.entries(changes)) {
    if (value) params.set(key, value);
    else params.delete(key);
  }
  history.replaceState(null, "", link(page, id, Object.fromEntries(params)));
  dispatchEvent(new HashChangeEvent("hashchange"));
}
