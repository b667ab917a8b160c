"""A cell that streams by the bare means the product rests on, and nothing of the product.

Should those means change in some version of ipykernel or JupyterLab, this tells it apart from a fault of
our own.
"""

#: Defines `stream(way, seconds)`: 20 messages a second. `delay` is then what the click took to reach the
#: kernel, in seconds.
STREAMING = '''
import threading, time
import anywidget, traitlets
from IPython import get_ipython
from IPython.display import display

class Probe(anywidget.AnyWidget):
    way = traitlets.Unicode("control").tag(sync=True)
    _esm = """
    export default {
      render({ model, el }) {
        const text = document.createElement("pre");
        const button = document.createElement("button");
        button.textContent = "Stop";
        button.addEventListener("click", () => stop(model));
        model.on("msg:custom", ({ text: more }) => text.append(more));
        el.append(text, button);
      },
    };
    const stop = (model) => {
      const content = { clicked: (performance.timeOrigin + performance.now()) / 1000 };
      if (model.get("way") === "comm") return model.send(content);
      const kernel = model.widget_manager.kernel;
      const header = { msg_id: crypto.randomUUID(), msg_type: "probe_stop", session: kernel.clientId,
                       username: kernel.username, version: "5.3", date: new Date().toISOString() };
      kernel.sendControlMessage(
        { channel: "control", header, parent_header: {}, metadata: {}, content, buffers: [] }, false, true);
    };
    """

stopped, delay = threading.Event(), None

def note_stop(content):
    global delay
    delay = time.time() - content["clicked"]
    stopped.set()

def stream(way, seconds):
    handlers = get_ipython().kernel.control_handlers
    handlers["probe_stop"] = lambda stream, ident, message: note_stop(message["content"])
    probe = Probe(way=way)
    probe.on_msg(lambda widget, content, buffers: note_stop(content))
    display(probe)
    pump = threading.Thread(target=send, args=(probe, int(seconds * 20)))
    pump.start()
    pump.join()
    return "stopped" if stopped.is_set() else "ran to its end"

def send(probe, count):
    for n in range(count):
        if stopped.wait(0.05):
            return
        probe.send({"text": f"token{n} "})
'''
