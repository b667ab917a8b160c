/** One event of a stream, as the HTML standard dispatches it. */
export interface StreamEvent {
  data: string;
  type: string;
  id: string; // the last event ID at this point
}

const LONGEST = 1_048_576; // characters of an event, or of a line

/** Reads server-sent events as the HTML standard says (9.2.6), wherever the stream was cut. */
export class EventReader {
  // It puts half characters together; of byte order marks some runtimes take two away, where the bytes are cut.
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #atStart = true;
  #line = "";
  #afterReturn = false;
  #data: string[] = [];
  #size = 0;
  #type = "";
  #id = "";
  #last = "";

  /** The events that these bytes complete. Throws `RangeError` for an event that is too large. */
  push(bytes: Uint8Array): StreamEvent[] {
    const decoded = this.#decoder.decode(bytes, { stream: true });
    if (!decoded) return [];
    const text = this.#atStart && decoded.startsWith("\ufeff") ? decoded.slice(1) : decoded;
    this.#atStart = false;
    if (!text) return [];
    const half = this.#afterReturn && text.startsWith("\n"); // the second half of a CRLF
    this.#afterReturn = text.endsWith("\r");
    const lines = (half ? text.slice(1) : text).split(/\r\n|\n|\r/);
    lines[0] = this.#line + lines[0];
    this.#line = this.#held(lines.pop() ?? "");
    return lines.map((line) => this.#take(this.#held(line))).filter((event) => event !== null);
  }

  #held(line: string): string {
    if (line.length + this.#size > LONGEST) throw new RangeError("an event of the stream is too large");
    return line;
  }

  #take(line: string): StreamEvent | null {
    if (!line) return this.#dispatch();
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") {
      this.#data.push(value);
      this.#size += value.length;
    } else if (name === "event") this.#type = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    return null;
  }

  #dispatch(): StreamEvent | null {
    this.#last = this.#id;
    const event = { data: this.#data.join("\n"), type: this.#type || "message", id: this.#last };
    const empty = this.#data.length === 0;
    this.#data = [];
    this.#size = 0;
    this.#type = "";
    return empty ? null : event;
  }
}
