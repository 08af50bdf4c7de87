import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The server's content security policy allows scripts and styles of its own origin only, so nothing is inlined.
export default defineConfig({
  plugins: [react()],
  build: { outDir: "../src/leeward/api/static", emptyOutDir: true, assetsInlineLimit: 0, target: "es2022", chunkSizeWarningLimit: 1000 },
  server: { proxy: { "/api": "http://127.0.0.1:8499", "/login": "http://127.0.0.1:8499" } },
});
