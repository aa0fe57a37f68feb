package main

import "sync"

// Goroutines that make garbage.
func main() {
	var group sync.WaitGroup
	for i := 0; i < 20; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			sum := 0
			for j := 0; j < 300; j++ {
				sum += len(make([]byte, 32768))
			}
			println(sum)
		}()
	}
	group.Wait()
}
