// Browsers start no worker from file://. Here a hidden frame stands in for it, so that the search
// also works where the site is opened from a disk. Its name keeps the plugin `offline` from
// fetching such a script from the network.
if (location.protocol === "file:") {
  // Where the search finds this name, it looks for its languages beside its script.
  window.IFrameWorker = window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.appendChild(frame);
      const inner = frame.contentWindow;
      this.ready = new Promise((resolve) => {
        inner.document.open();
        inner.document.write("<!doctype html><html><body></body></html>");
        inner.document.close();
        inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
        const load = (address) =>
          new Promise((loaded, failed) => {
            const script = inner.document.createElement("script");
            script.src = address;
            script.onload = loaded;
            script.onerror = failed;
            inner.document.body.appendChild(script);
          });
        inner.importScripts = (...addresses) =>
          addresses.reduce((before, address) => before.then(() => load(address)), Promise.resolve());
        load(new URL(url, location.href).href).then(() => resolve(inner));
      });
      this.addEventListener("message", (event) => this.onmessage && this.onmessage(event));
    }

    postMessage(data) {
      this.ready.then((inner) => inner.dispatchEvent(new inner.MessageEvent("message", { data })));
    }
  };
}
