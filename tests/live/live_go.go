// Requests over TLS with net/http: PORT PROMPT h1|h2 [N at a time].
package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
)

func main() {
	port, prompt, form, n := os.Args[1], os.Args[2], os.Args[3], 1
	if len(os.Args) > 4 {
		fmt.Sscan(os.Args[4], &n)
	}
	t := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: form == "h2"}
	c := &http.Client{Transport: t}
	var wg sync.WaitGroup
	for g := 0; g < n; g++ {
		wg.Add(1)
		go func(g int) {
			defer wg.Done()
			p := prompt
			if n > 1 {
				p = fmt.Sprintf("%s %d", prompt, g)
			}
			b, _ := json.Marshal(map[string]any{"model": "range", "messages": []any{map[string]string{"role": "user", "content": p}}})
			r, err := c.Post("https://127.0.0.1:"+port+"/v1/chat/completions", "application/json", bytes.NewReader(b))
			if err != nil {
				panic(err)
			}
			out, _ := io.ReadAll(r.Body)
			r.Body.Close()
			if n == 1 {
				fmt.Print(string(out))
			}
		}(g)
	}
	wg.Wait()
	c.CloseIdleConnections()
}
