"""The style sheet of `report.html`, light or dark as the reader's system is."""

STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1f2328; --muted: #59636e; --grid: #d8dee4; --paper: #ffffff; --page: #f6f8fa;
  --accent: #0072b2; --warn-ink: #6a4a00; --warn-paper: #fff7e0; --warn-edge: #e69f00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e6edf3; --muted: #9da7b3; --grid: #343b44; --paper: #161b22; --page: #0d1117;
    --accent: #6cb6ff; --warn-ink: #f2d58a; --warn-paper: #2b2410; --warn-edge: #9a6f10;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 3.5rem; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", Arial, sans-serif;
  text-rendering: optimizeLegibility; -webkit-text-size-adjust: 100%;
}
nav {
  position: sticky; top: 0; z-index: 2; display: flex; gap: 1.4rem; overflow-x: auto; white-space: nowrap;
  padding: .7rem max(1.2rem, calc((100vw - 72rem) / 2)); background: var(--page); border-bottom: 1px solid var(--grid);
  font-size: .875rem;
}
nav a { color: var(--muted); text-decoration: none; }
nav a:hover, nav a:focus { color: var(--accent); text-decoration: underline; text-underline-offset: .25em; }
main { max-width: 74.4rem; margin: 0 auto; padding: 1.5rem 1.2rem 5rem; }
h1, h2, h3 { line-height: 1.25; text-wrap: balance; overflow-wrap: anywhere; }
h1 { font-size: 2rem; letter-spacing: -.015em; margin: 1rem 0 1.2rem; }
h2 { font-size: 1.45rem; letter-spacing: -.01em; margin: 3.5rem 0 1rem; padding-top: 1.2rem;
  border-top: 1px solid var(--grid); }
h3 { font-size: 1.05rem; margin: 2.2rem 0 .6rem; }
p, ul { max-width: 46rem; margin: .8rem 0; overflow-wrap: anywhere; }
ul { padding-left: 1.2rem; }
li { margin: .3rem 0; }
li::marker { color: var(--muted); }
code { font: .9em/1 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  background: color-mix(in srgb, var(--muted) 14%, transparent); padding: .12em .35em; border-radius: .3em; }
.warning { color: var(--warn-ink); background: var(--warn-paper); border-left: .25rem solid var(--warn-edge);
  padding: .7rem 1rem; border-radius: 0 .4rem .4rem 0; }
.scroll { overflow-x: auto; max-width: 100%; width: fit-content; margin: .8rem 0 1.2rem; background: var(--paper);
  border: 1px solid var(--grid); border-radius: .5rem; }
.scroll:focus-visible, summary:focus-visible, nav a:focus-visible { outline: 2px solid var(--accent); }
table { border-collapse: collapse; font-size: .875rem; line-height: 1.45;
  font-variant-numeric: tabular-nums lining-nums; }
th, td { padding: .38rem .85rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--grid); }
tbody tr:last-child > * { border-bottom: 0; }
thead th { color: var(--muted); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 500; }
th:first-child { position: sticky; left: 0; text-align: left; background: var(--paper); }
tbody tr:hover > * { background: color-mix(in srgb, var(--accent) 8%, var(--paper)); }
td.best { font-weight: 700; color: var(--accent); }
details { margin: 1rem 0; }
summary { cursor: pointer; color: var(--accent); width: fit-content; }
details td { white-space: normal; overflow-wrap: anywhere; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); gap: 1rem;
  margin: 1.2rem 0; }
figure { margin: 0; padding: .6rem; background: var(--paper); border: 1px solid var(--grid); border-radius: .5rem; }
figure svg { display: block; width: 100%; height: auto; stroke-linejoin: round; stroke-linecap: butt; }
@media (max-width: 40rem) {
  body { font-size: 15px; }
  h1 { font-size: 1.6rem; }
  th, td { padding: .34rem .6rem; }
  tbody th { min-width: 7.5rem; max-width: 11rem; white-space: normal; overflow-wrap: anywhere; }
}
@media print {
  nav { display: none; }
  body { background: #fff; }
  .scroll, figure { break-inside: avoid; }
}
"""
