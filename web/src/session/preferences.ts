// What a person chose on this device: theme and notifications. (The language is in `i18n`.)
import { useSyncExternalStore } from "react";

export type Theme = "system" | "light" | "dark";

const listeners = new Set<() => void>();

function read(key: string): string | null {
  return localStorage.getItem(key);
}

function write(key: string, value: string): void {
  localStorage.setItem(key, value);
  apply();
  for (const listener of listeners) listener();
}

/** Before the first paint, so that nothing flashes. */
export function apply(): void {
  const theme = getTheme();
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
}

export function getTheme(): Theme {
  const theme = read("theme");
  return theme === "light" || theme === "dark" ? theme : "system";
}

export const setTheme = (theme: Theme) => write("theme", theme);
export const wantsNotifications = () => read("notifications") === "on";
export const setNotifications = (isOn: boolean) => write("notifications", isOn ? "on" : "off");

export function usePreference<T>(get: () => T): T {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, get);
}
