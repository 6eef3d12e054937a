/** The settings of `schema/plugin.json`, as values. */

import type { ISettingRegistry } from "@jupyterlab/settingregistry";

export class Settings {
  refreshSeconds = 6;
  runtimes = "xnnpack,builtin";
  store = "";
  notify = true;

  /** Take what the registry has, now and whenever it changes. */
  follow(settings: ISettingRegistry.ISettings, changed: () => void): void {
    const take = () => {
      Object.assign(this, settings.composite);
      changed();
    };
    settings.changed.connect(take);
    take();
  }
}
