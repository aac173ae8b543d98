;; Asks for a page more at each turn of a loop without end, so that most of its time is the host's.
;; group: time
;; fails: runaway
;; says: limits.computing_seconds
(component
  (;memory;)
  (core module $m
    (memory 1)
    (func (export "run") (param i32 i32) (result i32)
      (loop $again
        (drop (memory.grow (i32.const 1)))
        (br $again))
      unreachable))
  (core instance $i (instantiate $m))
  (;skill;))
