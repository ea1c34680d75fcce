/** Line charts as SVG. */

export interface Chart {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly lines: readonly { readonly name: string; readonly points: readonly (readonly [x: number, y: number])[] }[];
  /** Whether each point is marked. */
  readonly marks: boolean;
}

export interface Axis {
  readonly label: string;
  /** Doublings are equally far apart; the ticks are the points. Else the axis begins at zero. */
  readonly scale: "linear" | "log";
}

const width = 720;
const height = 360;
const area = { left: 64, right: 700, top: 44, bottom: 304 };
/** Grey text and these colours can be read on white and on black. */
const grey = "#808080";
const colours = ["#2f81f7", "#d29922", "#3fb950", "#a371f7"];

/** The chart as a whole document, without scripts or fonts of its own. */
export function drawChart({ title, x, y, lines, marks }: Chart): string {
  const toX = scaleOf(
    x,
    lines.flatMap(({ points }) => points.map(([value]) => value)),
    area.left,
    area.right,
  );
  const toY = scaleOf(
    y,
    lines.flatMap(({ points }) => points.map(([, value]) => value)),
    area.bottom,
    area.top,
  );
  const parts = [
    text(width / 2, 22, title, 'text-anchor="middle" font-size="15"'),
    ...toX.ticks.map((tick) => text(toX.place(tick), area.bottom + 18, shown(tick), 'text-anchor="middle"')),
    ...toY.ticks.flatMap((tick) => [
      line(area.left, toY.place(tick), area.right, toY.place(tick), 0.25),
      text(area.left - 8, toY.place(tick) + 4, shown(tick), 'text-anchor="end"'),
    ]),
    line(area.left, area.bottom, area.right, area.bottom, 1),
    text((area.left + area.right) / 2, area.bottom + 40, x.label, 'text-anchor="middle"'),
    text(0, 0, y.label, `text-anchor="middle" transform="translate(16 ${(area.top + area.bottom) / 2}) rotate(-90)"`),
    ...lines.flatMap(({ name, points }, i) => {
      const colour = colours[i % colours.length];
      const places = points.map(([px, py]) => [fixed(toX.place(px)), fixed(toY.place(py))] as const);
      const path = `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${places.map((place) => place.join()).join(" ")}"/>`;
      const dots = marks ? places.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="3" fill="${colour}"/>`) : [];
      return [path, ...dots, ...(lines.length > 1 ? [legend(name, colour, i, lines.length)] : [])];
    }),
  ];
  const style = 'font-family="sans-serif" font-size="12"';
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" ${style} fill="${grey}">\n<title>${escaped(title)}</title>\n${parts.join("\n")}\n</svg>\n`;
}

interface Scale {
  readonly ticks: readonly number[];
  place(value: number): number;
}

function scaleOf({ scale }: Axis, values: readonly number[], from: number, to: number): Scale {
  if (scale === "log") {
    const ticks = [...new Set(values)].sort((a, b) => a - b);
    const [least, most] = [Math.log(ticks[0] ?? 1), Math.log(ticks.at(-1) ?? 2)];
    return { ticks, place: (value) => from + ((Math.log(value) - least) / (most - least || 1)) * (to - from) };
  }
  const step = niceStep(Math.max(...values) / 5);
  const count = Math.ceil(Math.max(...values) / step);
  return { ticks: Array.from({ length: count + 1 }, (_, i) => i * step), place: (value) => from + (value / (count * step)) * (to - from) };
}

/** The least of 1, 2 and 5 times a power of ten that is not below. */
export function niceStep(atLeast: number): number {
  const power = 10 ** Math.floor(Math.log10(atLeast));
  return ([1, 2, 5].find((factor) => factor * power >= atLeast) ?? 10) * power;
}

function legend(name: string, colour: string | undefined, index: number, count: number): string {
  const x = area.right - (count - index) * 150;
  return `<rect x="${x}" y="32" width="14" height="4" fill="${colour}"/>\n${text(x + 20, 38, name, "")}`;
}

function line(x1: number, y1: number, x2: number, y2: number, opacity: number): string {
  return `<line x1="${fixed(x1)}" y1="${fixed(y1)}" x2="${fixed(x2)}" y2="${fixed(y2)}" stroke="${grey}" stroke-opacity="${opacity}"/>`;
}

function text(x: number, y: number, content: string, attributes: string): string {
  return `<text x="${fixed(x)}" y="${fixed(y)}" ${attributes}>${escaped(content)}</text>`;
}

function escaped(content: string): string {
  return content.replace(/&/g, "&amp;").replace(/</g, "&lt;");
}

function shown(value: number): string {
  return new Intl.NumberFormat("en-US", { maximumFractionDigits: 2 }).format(value);
}

function fixed(value: number): number {
  return Math.round(value * 10) / 10;
}
