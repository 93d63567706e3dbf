// Calls `changed` with the new value of an attribute in which Streamlit writes its state.
function watchApp(attribute, changed) {
  const app = document.querySelector("[data-testid=stApp]");
  const watch = new MutationObserver(() => changed(app.getAttribute(attribute)));
  if (app) watch.observe(app, { attributeFilter: [attribute] });
  return watch;
}

// Waits until Streamlit draws nothing, as after the results of a search. Rejects with the reason of an abort.
function drawn(signal) {
  const attribute = "data-test-script-state";
  return new Promise((resolve, reject) => {
    const end = (settle, value) => {
      watch.disconnect();
      signal.removeEventListener("abort", stop);
      settle(value);
    };
    const stop = () => end(reject, signal.reason);
    const look = (state) => state !== "running" && end(resolve);
    const watch = watchApp(attribute, look);
    signal.addEventListener("abort", stop);
    look(document.querySelector("[data-testid=stApp]")?.getAttribute(attribute));
  });
}
