// Before anything is drawn: the chosen colours, or the system's.

(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const paint = () => {
    document.documentElement.dataset.theme = localStorage.getItem("theme") ?? (system.matches ? "dark" : "light");
  };
  system.addEventListener("change", paint);
  addEventListener("storage", paint);
  paint();
})();
