// The frame: navigation, theme, who you are; each screen is a file of its own.
import { Component, type ReactNode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { useAsk, useConnected } from "./api";
import { Inventory } from "./inventory";
import { Audit, Coverage, Exchanges, Search, Settings } from "./others";
import { Overview } from "./overview";
import { Empty, Loading, Problem } from "./parts";
import { Policies } from "./policies";
import { link, usePlace } from "./route";
import { Runtime } from "./runtime";
import { Threats } from "./threats";
import type { Me } from "./types";
import "./style.css";

const SCREENS: [string, string][] = [
  ["overview", "Overview"], ["inventory", "AI inventory"], ["runtime", "AI runtime activity"], ["threats", "AI threats"], ["policies", "Policies"],
  ["exchanges", "Exchanges"], ["coverage", "Coverage"], ["audit", "Audit log"], ["settings", "Settings"],
];

/** A screen that breaks says so, and the others go on. */
class Guard extends Component<{ children: ReactNode }, { error?: Error }> {
  override state: { error?: Error } = {};
  static getDerivedStateFromError(error: Error) {
    return { error };
  }
  override render() {
    const { error } = this.state;
    return error ? <Problem error={new Error(`This screen broke: ${error.message}`)} again={() => this.setState({ error: undefined })} /> : this.props.children;
  }
}

function useTheme(): [string, string, (theme: string) => void] {
  const [wanted, setWanted] = useState(() => localStorage.getItem("theme") ?? "auto");
  const media = matchMedia("(prefers-color-scheme: dark)");
  const [dark, setDark] = useState(media.matches);
  useEffect(() => {
    const changed = () => setDark(media.matches);
    media.addEventListener("change", changed);
    return () => media.removeEventListener("change", changed);
  }, []); // eslint-disable-line
  const shown = wanted === "auto" ? (dark ? "dark" : "light") : wanted;
  document.documentElement.dataset.theme = shown;
  return [wanted, shown, (theme) => { localStorage.setItem("theme", theme); setWanted(theme); }];
}

function App() {
  const place = usePlace();
  const [wanted, theme, setTheme] = useTheme();
  const me = useAsk<Me>("/me");
  const connected = useConnected();
  const [menu, setMenu] = useState(false);
  useEffect(() => {
    setMenu(false);
    const name = SCREENS.find(([key]) => key === place.page)?.[1];
    document.title = name ? `${name} – Leeward` : "Leeward";
  }, [place.page]);
  if (!me.data) return me.error ? <Problem error={me.error} again={me.again} /> : <Loading what="Starting" />;
  return (
    <div className="frame">
      <a className="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>To the content</a>
      <header className="top">
        <button className="menu" aria-expanded={menu} aria-controls="nav" onClick={() => setMenu(!menu)}>☰ <span className="hidden">Menu</span></button>
        <a className="brand" href={link("overview")}>
          <img src="/assets/leeward.svg" alt="" width="24" height="24" /> Leeward
        </a>
        <form className="find" role="search" onSubmit={(event) => { event.preventDefault(); location.hash = link("search", "", { q: String(new FormData(event.currentTarget).get("q") ?? "") }); }}>
          <input name="q" type="search" placeholder="Search everything" aria-label="Search everything" />
        </form>
        <span className={`live ${connected ? "" : "off"}`} role="status">{connected ? "live" : "not connected"}</span>
        <button className="quiet" aria-label={`Theme: ${theme}`} onClick={() => setTheme(theme === "dark" ? "light" : "dark")}>{theme === "dark" ? "☀" : "☾"}</button>
        <form method="post" action="/logout"><button className="quiet" title={`${me.data.name} (${me.data.role})`}>Log out</button></form>
      </header>
      <nav id="nav" className={menu ? "shown" : ""} aria-label="Screens">
        {SCREENS.map(([key, name]) => (
          <a key={key} href={link(key)} aria-current={place.page === key ? "page" : undefined}>{name}</a>
        ))}
      </nav>
      <main id="main" tabIndex={-1}>
        <Guard key={place.page}>
          {place.page === "overview" && <Overview place={place} theme={theme} />}
          {place.page === "inventory" && <Inventory place={place} />}
          {place.page === "runtime" && <Runtime place={place} theme={theme} />}
          {place.page === "threats" && <Threats place={place} me={me.data} />}
          {place.page === "policies" && <Policies place={place} me={me.data} />}
          {place.page === "exchanges" && <Exchanges place={place} />}
          {place.page === "coverage" && <Coverage />}
          {place.page === "audit" && <Audit me={me.data} />}
          {place.page === "settings" && <Settings me={me.data} theme={wanted} setTheme={setTheme} />}
          {place.page === "search" && <Search place={place} />}
          {![...SCREENS.map(([key]) => key), "search"].includes(place.page) && <Empty title="There is no such screen.">The menu has them all.</Empty>}
        </Guard>
      </main>
    </div>
  );
}

createRoot(document.getElementById("root")!).render(<App />);
