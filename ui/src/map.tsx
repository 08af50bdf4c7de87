// The live map and how it is moved; the table beside it says the same for the keyboard and for screen readers.
import { useEffect, useRef, useState } from "react";
import { MapCanvas, type Picked } from "./canvas";
import type { Drawing, Edge, Node } from "./graph";

interface Props {
  drawing: Drawing;
  theme: string;
  selected: string;
  pickEdge: (edge: Edge) => void;
  pickNode: (node: Node) => void;
}

const STEP = 60; // pixels, of an arrow key

export function CommunicationMap({ drawing, theme, selected, pickEdge, pickNode }: Props) {
  const element = useRef<HTMLCanvasElement>(null);
  const map = useRef<MapCanvas | null>(null);
  const [hint, setHint] = useState<{ x: number; y: number; text: string } | null>(null);
  const drag = useRef<{ x: number; y: number; far: boolean } | null>(null);

  useEffect(() => {
    const canvas = element.current!;
    const made = new MapCanvas(canvas);
    map.current = made;
    (window as unknown as { leewardMap?: MapCanvas }).leewardMap = made; // the tests ask it where things are, and how fast it is
    const watcher = new ResizeObserver(() => made.resize());
    watcher.observe(canvas);
    const wheel = (event: WheelEvent) => {
      event.preventDefault();
      made.zoom(Math.exp(-event.deltaY / 500), event.offsetX, event.offsetY);
    };
    canvas.addEventListener("wheel", wheel, { passive: false });
    return () => {
      watcher.disconnect();
      canvas.removeEventListener("wheel", wheel);
      made.close();
    };
  }, []);
  useEffect(() => map.current?.recolour(), [theme]);
  useEffect(() => map.current?.show(drawing), [drawing]);
  useEffect(() => map.current?.choose(selected), [selected, drawing]);

  const pick = ({ node, edge }: Picked) => {
    if (node) pickNode(node);
    else if (edge) pickEdge(edge);
  };
  const key = (event: React.KeyboardEvent) => {
    const moves: Record<string, [number, number]> = { ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };
    const move = moves[event.key];
    if (move) map.current?.panBy(...move);
    else if (event.key === "+") map.current?.zoom(1.25);
    else if (event.key === "-") map.current?.zoom(0.8);
    else if (event.key === "0") map.current?.fit();
    else return;
    event.preventDefault();
  };
  return (
    <div className="map-box">
      <canvas
        ref={element}
        className="map"
        tabIndex={0}
        role="img"
        aria-label={`Map of ${drawing.nodes.length} nodes and ${drawing.edges.length} connections; the table below holds the same. Arrow keys move it, + and - zoom.`}
        onKeyDown={key}
        onPointerDown={(event) => {
          drag.current = { x: event.clientX, y: event.clientY, far: false };
          event.currentTarget.setPointerCapture(event.pointerId);
        }}
        onPointerMove={(event) => {
          const from = drag.current;
          if (from) {
            const [dx, dy] = [event.clientX - from.x, event.clientY - from.y];
            if (!from.far && Math.hypot(dx, dy) < 4) return;
            map.current?.panBy(dx, dy);
            drag.current = { x: event.clientX, y: event.clientY, far: true };
            setHint(null);
            return;
          }
          const { offsetX: x, offsetY: y } = event.nativeEvent;
          const { node, edge } = map.current?.at(x, y) ?? {};
          event.currentTarget.style.cursor = node || edge ? "pointer" : "grab";
          setHint(node ? { x, y, text: `${node.name}${node.about ? ` – ${node.about}` : ""}` } : edge ? { x, y, text: `${edge.label}: ${edge.amount}${edge.kinds.length ? `, ${edge.kinds.join(", ")}` : ""}` } : null);
        }}
        onPointerUp={(event) => {
          if (drag.current && !drag.current.far) pick(map.current?.at(event.nativeEvent.offsetX, event.nativeEvent.offsetY) ?? {});
          drag.current = null;
        }}
        onPointerLeave={() => setHint(null)}
      />
      {hint && (
        <div className="hint" style={{ left: Math.min(hint.x + 12, (element.current?.clientWidth ?? 400) - 200), top: hint.y + 14 }}>
          {hint.text}
        </div>
      )}
      <div className="map-tools">
        <button aria-label="Zoom in" onClick={() => map.current?.zoom(1.3)}>+</button>
        <button aria-label="Zoom out" onClick={() => map.current?.zoom(1 / 1.3)}>−</button>
        <button onClick={() => map.current?.fit()}>Fit</button>
      </div>
    </div>
  );
}
