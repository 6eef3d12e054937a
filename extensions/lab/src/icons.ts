/** Icons that take the theme's colours. */

import { LabIcon } from "@jupyterlab/ui-components";

const svg = (inner: string) =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><g class="jp-icon3" style="fill:none" stroke="#616161" stroke-width="2" stroke-linejoin="round" stroke-linecap="round">${inner}</g></svg>`;

/** Three layers that are joined: a model. */
export const modelIcon = new LabIcon({
  name: "workbench:model",
  svgstr: svg(
    '<rect x="3" y="4" width="7" height="5" rx="1"/><rect x="14" y="4" width="7" height="5" rx="1"/><rect x="8.5" y="15" width="7" height="5" rx="1"/><path d="M6.5 9v2.5h11V9M12 11.5V15"/>',
  ),
});

/** Points and their front: studies. */
export const studiesIcon = new LabIcon({
  name: "workbench:studies",
  svgstr: svg('<path d="M4 3v17h17"/><path d="M7.5 15.5c2-5 5-8 11-9"/><path d="M12 16.5h.01M16 13h.01M18 17h.01"/>'),
});
