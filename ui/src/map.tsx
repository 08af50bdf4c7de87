// The live map, drawn by Cytoscape on a canvas; the table beside it says the same for the keyboard and for screen readers.
import cytoscape, { type Core, type ElementDefinition, type StylesheetJson } from "cytoscape";
import { useEffect, useRef } from "react";
import type { Drawing, Edge, Node } from "./graph";
import { places } from "./graph";

interface Props {
  drawing: Drawing;
  theme: string;
  selected: string;
  pickEdge: (edge: Edge) => void;
  pickNode: (node: Node) => void;
}

const SHAPES = { group: "round-rectangle", workload: "round-rectangle", service: "ellipse", database: "barrel", host: "diamond", port: "diamond", model: "round-hexagon", tool: "round-tag" } as const;

export function CommunicationMap({ drawing, theme, selected, pickEdge, pickNode }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const core = useRef<Core | null>(null);
  const shape = useRef("");
  const current = useRef({ drawing, pickEdge, pickNode });
  current.current = { drawing, pickEdge, pickNode };

  useEffect(() => {
    if (!box.current) return;
    ownStyles();
    const made = cytoscape({
      container: box.current,
      minZoom: 0.05,
      maxZoom: 2.5,
      boxSelectionEnabled: false,
      autoungrabify: false,
      hideEdgesOnViewport: false,
      textureOnViewport: true,
      pixelRatio: Math.min(devicePixelRatio, 2),
    });
    made.on("tap", "edge", (event) => {
      const edge = current.current.drawing.edges.find((one) => one.id === event.target.id());
      if (edge) current.current.pickEdge(edge);
    });
    made.on("tap", "node", (event) => {
      const node = current.current.drawing.nodes.find((one) => one.id === event.target.id());
      if (node) current.current.pickNode(node);
    });
    core.current = made;
    (window as unknown as { leewardMap?: Core }).leewardMap = made; // the frame rate is measured from outside
    const watcher = new ResizeObserver(() => made.resize());
    watcher.observe(box.current);
    return () => {
      watcher.disconnect();
      made.destroy();
      core.current = null;
      shape.current = "";
    };
  }, []);

  useEffect(() => {
    core.current?.style(look());
  }, [theme]);

  useEffect(() => {
    const map = core.current;
    if (!map) return;
    const where = places(drawing);
    const found = elements(drawing, where);
    const ids = new Set(found.map((one) => one.data.id!));
    const outline = [...ids].sort().join("\n");
    map.batch(() => {
      map.elements().filter((one) => !ids.has(one.id())).remove();
      for (const one of found) {
        const known = map.getElementById(one.data.id!);
        if (known.empty()) map.add(one);
        else {
          known.data(one.data);
          if (one.position && shape.current !== outline) known.position(one.position);
        }
      }
    });
    if (shape.current !== outline) {
      const first = !shape.current;
      shape.current = outline;
      if (first) map.style(look());
      map.fit(undefined, 36);
      if (map.zoom() > 1.2) {
        map.zoom(1.2);
        map.center();
      }
    }
  }, [drawing]);

  useEffect(() => {
    const map = core.current;
    if (!map) return;
    map.batch(() => {
      map.elements().removeClass("chosen faded");
      const chosen = selected ? map.elements().filter((one) => one.id() === selected) : map.collection();
      if (chosen.empty()) return;
      const near = chosen.closedNeighborhood().union(chosen.connectedNodes());
      map.elements().not(near).addClass("faded");
      chosen.addClass("chosen");
    });
  }, [selected, drawing]);

  return (
    <div className="map-box">
      <div ref={box} className="map" role="img" aria-label={`Map of ${drawing.nodes.length} nodes and ${drawing.edges.length} connections; the table below holds the same`} />
      <div className="map-tools">
        <button aria-label="Zoom in" onClick={() => core.current?.zoom({ level: core.current.zoom() * 1.3, renderedPosition: middle(core.current) })}>+</button>
        <button aria-label="Zoom out" onClick={() => core.current?.zoom({ level: core.current.zoom() / 1.3, renderedPosition: middle(core.current) })}>−</button>
        <button onClick={() => core.current?.fit(undefined, 36)}>Fit</button>
      </div>
    </div>
  );
}

/** Cytoscape puts a style element into the page, which the content security policy forbids; it leaves one of its name alone. The
 * rule is in style.css. */
function ownStyles(): void {
  const name = "__________cytoscape_stylesheet";
  if (!document.getElementById(name)) document.head.appendChild(Object.assign(document.createElement("style"), { id: name }));
}

function middle(map: Core): { x: number; y: number } {
  return { x: map.width() / 2, y: map.height() / 2 };
}

function elements(drawing: Drawing, where: Map<string, { x: number; y: number }>): ElementDefinition[] {
  const most = Math.max(1, ...drawing.edges.map((edge) => edge.weight));
  const nodes = drawing.nodes.map((node) => ({
    data: { id: node.id, name: short(node.name), title: `${short(node.name)}\n${node.members} workloads`, kind: node.kind, side: node.column === 0 ? "left" : node.column === 2 ? "right" : "middle", shape: SHAPES[node.kind], severity: node.severity || "none" },
    position: where.get(node.id),
  }));
  const edges = drawing.edges.map((edge) => ({
    data: {
      id: edge.id, source: edge.from, target: edge.to, severity: edge.severity || "none", data: edge.kinds.length ? "yes" : "no",
      label: "●".repeat(Math.min(3, edge.kinds.length)), full: edge.kinds.join(", ") || edge.amount,
      width: 1 + (Math.log2(edge.weight + 1) / Math.log2(most + 1)) * 6,
    },
  }));
  return [...nodes, ...edges];
}

function short(text: string): string {
  return text.length > 34 ? `${text.slice(0, 16)}…${text.slice(-16)}` : text;
}

/** Colours come from the page's style sheet, so that both themes are written down once. */
function look(): StylesheetJson {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const severities = ["info", "low", "medium", "high", "critical"].flatMap((severity) => [
    { selector: `edge[severity = "${severity}"]`, style: { "line-color": colour(`s-${severity}`), "target-arrow-color": colour(`s-${severity}`) } },
    { selector: `node[severity = "${severity}"]`, style: { "border-color": colour(`s-${severity}`), "border-width": 3 } },
  ]);
  const kinds = ["group", "workload", "service", "database", "host", "port", "model", "tool"].map((kind) => ({
    selector: `node[kind = "${kind}"]`,
    style: { "background-color": colour(`n-${kind}`) },
  }));
  return [
    {
      selector: "node",
      style: {
        shape: "data(shape)" as never, width: 30, height: 30, label: "data(name)", "font-size": 12, "font-family": "system-ui, sans-serif", color: colour("text"),
        "text-valign": "bottom", "text-margin-y": 5, "border-width": 1.5, "border-color": colour("edge"), "text-background-color": colour("ground"),
        "text-background-opacity": 0.8, "text-background-padding": "2px", "min-zoomed-font-size": 6,
      },
    },
    { selector: `node[kind = "group"]`, style: { width: 44, height: 36, label: "data(title)" as never, "text-wrap": "wrap" } },
    { selector: "node[side = 'left']", style: { "text-halign": "left", "text-valign": "center", "text-margin-x": -6, "text-margin-y": 0 } },
    { selector: "node[side = 'right']", style: { "text-halign": "right", "text-valign": "center", "text-margin-x": 6, "text-margin-y": 0 } },
    ...kinds,
    {
      selector: "edge",
      style: {
        "curve-style": "straight", width: "data(width)" as never, "line-color": colour("edge"), "target-arrow-color": colour("edge"), "target-arrow-shape": "triangle",
        "arrow-scale": 0.7, opacity: 0.75, label: "data(label)", "font-size": 10, color: colour("data"), "text-background-color": colour("ground"),
        "text-background-opacity": 0.9, "text-background-padding": "2px", "min-zoomed-font-size": 8,
      },
    },
    ...severities,
    { selector: ".faded", style: { opacity: 0.12 } },
    { selector: "edge.chosen", style: { opacity: 1, label: "data(full)" as never, "font-size": 12, "overlay-color": colour("accent"), "overlay-opacity": 0.25, "overlay-padding": 4 } },
    { selector: "node.chosen", style: { "overlay-color": colour("accent"), "overlay-opacity": 0.25, "overlay-padding": 6 } },
  ] as StylesheetJson;
}
