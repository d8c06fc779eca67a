// SPDX-License-Identifier: Apache-2.0

// Go with libc in the process: server.go PORT BACKEND_PORT.
package main

/*
#include <unistd.h>
*/
import "C"

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func get(backend, path, truth string) ([]byte, error) {
	request, err := http.NewRequest("GET", "http://127.0.0.1:"+backend+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-Truth", truth)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

func main() {
	port, backend := os.Args[1], os.Args[2]
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		truth := r.Header.Get("X-Truth")
		C.usleep(100)
		first, err := get(backend, "/first", truth)
		if err == nil {
			_, err = get(backend, "/second", truth)
		}
		if err != nil {
			http.Error(w, err.Error(), 502)
			return
		}
		w.Header().Set("X-Truth", truth)
		w.Write(first)
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe("127.0.0.1:"+port, nil))
}
