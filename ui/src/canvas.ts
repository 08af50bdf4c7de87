// Draws the map on a canvas. Measured on software-rendered Chromium, two cores, 600 nodes and 5,100 edges: Cytoscape 4 frames a second,
// its WebGL renderer half a frame; this one reuses a picture of the edges while it is moved, and draws them anew when it rests.
import type { Drawing, Edge, Kind, Node } from "./graph";
import { places, ROW } from "./graph";

export interface Picked { node?: Node; edge?: Edge }
interface View { x: number; y: number; scale: number }
interface Line { edge: Edge; x1: number; y1: number; x2: number; y2: number; width: number }
interface Dot { node: Node; x: number; y: number }

const REST_MS = 140;
const NODE = 14; // half its size
const NODE_PIXELS = 5; // half of the size that it has at least, however far away
const DATA_PIXELS = 3; // of a dot for sensitive data, at least
const REACH = 6; // pixels beside an edge that still are the edge
const ABOVE = 18; // pixels that the map is below the middle: the buttons are above it
const MARGIN = 0.5; // of the size of the canvas, around what is drawn ahead
const CLOSE = 26; // pixels from one node to the next, too near for a name between them
const NARROW = 700; // pixels of a map on which names are short
const COLUMN_SIDE = ["right", "center", "left"] as const;

export class MapCanvas {
  private readonly context: CanvasRenderingContext2D;
  private readonly still = document.createElement("canvas");
  private drawn: View | null = null; // at which `still` was drawn
  private view: View = { x: 0, y: 0, scale: 1 };
  private lines: Line[] = [];
  private dots: Dot[] = [];
  private byId = new Map<string, Dot>();
  private outline = "";
  private drawing: Drawing | undefined;
  private shape = 1; // width by height of what is laid out
  private last = 2; // the column at the right
  private gap = ROW; // between two nodes of the middle column, about
  private chosen = "";
  private frame = 0;
  private rest = 0;
  private fitted = false;
  private colours = new Map<string, string>();

  constructor(private readonly canvas: HTMLCanvasElement) {
    this.context = canvas.getContext("2d", { alpha: false })!;
    this.recolour();
  }

  /** Reads the theme's colours again. */
  recolour(): void {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["ground", "text", "edge", "accent", "data", "dim", ...KINDS.map((k) => `n-${k}`), ...["info", "low", "medium", "high", "critical"].map((s) => `s-${s}`)])
      this.colours.set(name, style.getPropertyValue(`--${name}`).trim());
    this.stale();
  }

  show(drawing: Drawing): void {
    this.drawing = drawing;
    this.shape = this.room();
    const where = places(drawing, this.shape);
    const most = Math.max(1, ...drawing.edges.map((edge) => edge.weight));
    this.dots = drawing.nodes.map((node) => ({ node, ...where.get(node.id)! }));
    this.byId = new Map(this.dots.map((dot) => [dot.node.id, dot]));
    this.lines = drawing.edges.flatMap((edge) => {
      const from = this.byId.get(edge.from);
      const to = this.byId.get(edge.to);
      return from && to ? [{ edge, x1: from.x, y1: from.y, x2: to.x, y2: to.y, width: 1 + Math.round((Math.log2(edge.weight + 1) / Math.log2(most + 1)) * 5) }] : [];
    });
    this.last = Math.max(0, ...drawing.nodes.map((node) => node.column));
    const rows = drawing.nodes.filter((node) => node.column === 1).length + 1;
    this.gap = (Math.max(...this.dots.map((dot) => dot.y), 0) - Math.min(...this.dots.map((dot) => dot.y), 0)) / rows;
    const outline = drawing.nodes.map((node) => node.id).sort().join("\n");
    if (outline !== this.outline) {
      this.outline = outline;
      this.fit();
    }
    this.stale();
  }

  choose(id: string): void {
    if (id === this.chosen) return;
    this.chosen = id;
    this.stale();
  }

  resize(): void {
    const { clientWidth, clientHeight } = this.canvas;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    this.canvas.width = Math.max(1, clientWidth * ratio);
    this.canvas.height = Math.max(1, clientHeight * ratio);
    this.still.width = this.canvas.width * (1 + 2 * MARGIN);
    this.still.height = this.canvas.height * (1 + 2 * MARGIN);
    if (this.drawing && Math.abs(this.room() / this.shape - 1) > 0.1) {
      this.show(this.drawing);
      this.fit();
    }
    if (!this.fitted) this.fit();
    this.stale();
  }

  /** How much wider than high the map may be, between the names beside it. */
  private room(): number {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    return width && height > 100 ? between(width) / (height - 90) : 1;
  }

  fit(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!this.dots.length || !width) return;
    const xs = this.dots.map((dot) => dot.x);
    const ys = this.dots.map((dot) => dot.y);
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const scale = Math.min(1.25, between(width) / Math.max(1, right - left), (height - 90) / Math.max(1, bottom - top));
    this.view = { scale: Math.max(0.02, scale), x: (left + right) / 2, y: (top + bottom) / 2 - ABOVE / Math.max(0.02, scale) };
    this.fitted = true;
    this.stale();
  }

  panBy(dx: number, dy: number): void {
    this.view = { ...this.view, x: this.view.x - dx / this.view.scale, y: this.view.y - dy / this.view.scale };
    this.moved();
  }

  /** Zooms so that the point under (x, y), in pixels of the element, stays where it is. */
  zoom(factor: number, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2): void {
    const scale = Math.min(3, Math.max(0.02, this.view.scale * factor));
    const dx = (x - this.canvas.clientWidth / 2) * (1 / this.view.scale - 1 / scale);
    const dy = (y - this.canvas.clientHeight / 2) * (1 / this.view.scale - 1 / scale);
    this.view = { scale, x: this.view.x + dx, y: this.view.y + dy };
    this.moved();
  }

  /** What is at a place, in pixels of the element. */
  at(x: number, y: number): Picked {
    const wx = (x - this.canvas.clientWidth / 2) / this.view.scale + this.view.x;
    const wy = (y - this.canvas.clientHeight / 2) / this.view.scale + this.view.y;
    const reach = Math.max(this.half(), REACH / this.view.scale);
    for (const dot of this.dots) if (Math.abs(dot.x - wx) <= reach && Math.abs(dot.y - wy) <= reach) return { node: dot.node };
    let best: Line | undefined;
    let nearest = REACH / this.view.scale;
    for (const line of this.lines) {
      const distance = distanceTo(line, wx, wy) - line.width / 2;
      if (distance < nearest) {
        nearest = distance;
        best = line;
      }
    }
    return best ? { edge: best.edge } : {};
  }

  /** Where a node, or the middle of an edge, is: pixels of the element. */
  place(id: string): { x: number; y: number } | undefined {
    const dot = this.byId.get(id);
    const line = dot ? undefined : this.lines.find((one) => one.edge.id === id);
    const point = dot ?? (line && { x: (line.x1 + line.x2) / 2, y: (line.y1 + line.y2) / 2 });
    return point && { x: (point.x - this.view.x) * this.view.scale + this.canvas.clientWidth / 2, y: (point.y - this.view.y) * this.view.scale + this.canvas.clientHeight / 2 };
  }

  counts(): { nodes: number; edges: number } {
    return { nodes: this.dots.length, edges: this.lines.length };
  }

  close(): void {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.rest);
  }

  private stale(): void {
    this.drawn = null;
    this.soon();
  }

  private moved(): void {
    clearTimeout(this.rest);
    this.rest = window.setTimeout(() => this.stale(), REST_MS);
    this.soon();
  }

  private soon(): void {
    if (!this.frame)
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.paint();
      });
  }

  private paint(): void {
    const { width, height } = this.canvas;
    if (!this.drawn) this.ahead();
    const from = this.drawn!;
    const ratio = this.canvas.width / Math.max(1, this.canvas.clientWidth);
    const scale = this.view.scale / from.scale;
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.fillStyle = this.colour("ground");
    this.context.fillRect(0, 0, width, height);
    this.context.drawImage(
      this.still,
      width / 2 - (this.still.width / 2) * scale + (from.x - this.view.x) * this.view.scale * ratio,
      height / 2 - (this.still.height / 2) * scale + (from.y - this.view.y) * this.view.scale * ratio,
      this.still.width * scale,
      this.still.height * scale,
    );
  }

  /** Draws everything into `still`, some of what is around the canvas too. */
  private ahead(): void {
    const context = this.still.getContext("2d", { alpha: false })!;
    const ratio = this.canvas.width / Math.max(1, this.canvas.clientWidth);
    const scale = this.view.scale * ratio;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = this.colour("ground");
    context.fillRect(0, 0, this.still.width, this.still.height);
    context.setTransform(scale, 0, 0, scale, this.still.width / 2 - this.view.x * scale, this.still.height / 2 - this.view.y * scale);
    this.drawLines(context);
    this.drawDots(context);
    this.drawn = this.view;
  }

  /** Half the size of a node, as the map is seen now. */
  private half(): number {
    return Math.max(NODE, NODE_PIXELS / this.view.scale);
  }

  private near(edge: Edge): boolean {
    return !this.chosen || edge.id === this.chosen || edge.from === this.chosen || edge.to === this.chosen;
  }

  private drawLines(context: CanvasRenderingContext2D): void {
    const many = this.lines.length > 800;
    const batches = new Map<string, Line[]>();
    for (const line of this.lines) {
      const key = `${this.near(line.edge) ? "1" : "0"} ${line.edge.severity || ""} ${line.width}`;
      const batch = batches.get(key);
      if (batch) batch.push(line);
      else batches.set(key, [line]);
    }
    const ordered = [...batches].sort(([a], [b]) => a.localeCompare(b));
    for (const [key, lines] of ordered) {
      const [near, severity, width] = key.split(" ");
      context.strokeStyle = this.colour(severity ? `s-${severity}` : "edge");
      context.globalAlpha = near === "0" ? 0.1 : severity ? 0.9 : many ? 0.35 : 0.7;
      context.lineWidth = Number(width);
      context.beginPath();
      for (const line of lines) {
        context.moveTo(line.x1, line.y1);
        context.lineTo(line.x2, line.y2);
      }
      context.stroke();
    }
    context.globalAlpha = 1;
    if (many && !this.chosen) return;
    for (const line of this.lines) if (this.near(line.edge)) this.drawMark(context, line);
  }

  /** An arrow head, a dot for each kind of sensitive data, and of the chosen edge what it carries. */
  private drawMark(context: CanvasRenderingContext2D, line: Line): void {
    const angle = Math.atan2(line.y2 - line.y1, line.x2 - line.x1);
    const [tipX, tipY, size] = [line.x2 - Math.cos(angle) * this.half(), line.y2 - Math.sin(angle) * this.half(), 5 + line.width];
    context.fillStyle = this.colour(line.edge.severity ? `s-${line.edge.severity}` : "edge");
    context.beginPath();
    context.moveTo(tipX, tipY);
    context.lineTo(tipX - size * Math.cos(angle - 0.45), tipY - size * Math.sin(angle - 0.45));
    context.lineTo(tipX - size * Math.cos(angle + 0.45), tipY - size * Math.sin(angle + 0.45));
    context.fill();
    const [x, y] = [line.x1 + (line.x2 - line.x1) * 0.42, line.y1 + (line.y2 - line.y1) * 0.42];
    context.fillStyle = this.colour("data");
    const dot = Math.max(4, DATA_PIXELS / this.view.scale);
    line.edge.kinds.slice(0, 3).forEach((_, at) => {
      context.beginPath();
      context.arc(x + at * 2.2 * dot, y, dot, 0, 7);
      context.fill();
    });
    if (line.edge.id === this.chosen) this.label(context, line.edge.kinds.join(", ") || line.edge.amount, x, y - this.letters(), "center", "text");
  }

  private drawDots(context: CanvasRenderingContext2D): void {
    const beside = new Set(this.lines.filter((line) => this.near(line.edge)).flatMap((line) => [line.edge.from, line.edge.to]));
    const named = ROW * this.view.scale >= 10 || this.dots.length < 60;
    const half = this.half();
    for (const { node, x, y } of this.dots) {
      context.globalAlpha = !this.chosen || node.id === this.chosen || beside.has(node.id) ? 1 : 0.15;
      context.fillStyle = this.colour(`n-${node.kind}`);
      context.strokeStyle = this.colour(node.severity ? `s-${node.severity}` : "edge");
      context.lineWidth = (node.severity ? 3 : 1.5) * (half / NODE);
      context.beginPath();
      outlineOf(context, node.kind, x, y, half);
      context.fill();
      context.stroke();
      if (node.id === this.chosen) {
        context.strokeStyle = this.colour("accent");
        context.strokeRect(x - half - 5, y - half - 5, 2 * half + 10, 2 * half + 10);
      }
      if (!named) continue;
      const most = this.canvas.clientWidth < NARROW ? 15 : 36;
      const name = node.kind === "group" ? `${short(node.name, most)} (${node.members})` : short(node.name, most);
      const side = node.column === 1 && (this.last === 1 || this.gap * this.view.scale < CLOSE) ? "left" : COLUMN_SIDE[node.column]!;
      if (side === "center") this.label(context, name, x, y + half + 0.8 * this.letters(), side, "text");
      else this.label(context, name, x + (side === "right" ? -half - 8 : half + 8), y, side, "text");
    }
    context.globalAlpha = 1;
  }

  /** Size of the names: of a map that is far away they are larger than the map, as large as the rows allow. */
  private letters(): number {
    const pixels = Math.min(11, Math.max(8, 0.72 * ROW * this.view.scale));
    return Math.max(12, pixels / this.view.scale);
  }

  private label(context: CanvasRenderingContext2D, text: string, x: number, y: number, align: CanvasTextAlign, colour: string): void {
    const size = this.letters();
    context.font = `${size}px system-ui, sans-serif`;
    context.textAlign = align;
    context.textBaseline = "middle";
    context.lineWidth = size / 2.5;
    context.strokeStyle = this.colour("ground");
    context.lineJoin = "round";
    context.strokeText(text, x, y);
    context.fillStyle = this.colour(colour);
    context.fillText(text, x, y);
  }

  private colour(name: string): string {
    return this.colours.get(name) ?? "#888";
  }
}

const KINDS: Kind[] = ["group", "workload", "service", "database", "host", "port", "model", "tool"];

function outlineOf(context: CanvasRenderingContext2D, kind: Kind, x: number, y: number, half: number): void {
  const corners = { host: 4, port: 4, model: 6, tool: 5 }[kind as "host"];
  if (kind === "service") context.arc(x, y, half, 0, 7);
  else if (kind === "database") context.ellipse(x, y, half, half * 0.75, 0, 0, 7);
  else if (corners) {
    for (let at = 0; at < corners; at += 1) {
      const angle = (at / corners) * 2 * Math.PI;
      if (at) context.lineTo(x + half * Math.cos(angle), y + half * Math.sin(angle));
      else context.moveTo(x + half, y);
    }
    context.closePath();
  } else context.roundRect(x - half - (kind === "group" ? 4 : 0), y - half, 2 * half + (kind === "group" ? 8 : 0), 2 * half, 5);
}

function distanceTo(line: Line, x: number, y: number): number {
  const [dx, dy] = [line.x2 - line.x1, line.y2 - line.y1];
  const along = Math.max(0, Math.min(1, ((x - line.x1) * dx + (y - line.y1) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(line.x1 + along * dx - x, line.y1 + along * dy - y);
}

/** Pixels that are left of a width for the map, beside the names at both sides. */
function between(width: number): number {
  return Math.max(width / 2.6, width - 480);
}

function short(text: string, most: number): string {
  const half = Math.floor((most - 1) / 2);
  return text.length > most ? `${text.slice(0, half)}…${text.slice(-half)}` : text;
}
