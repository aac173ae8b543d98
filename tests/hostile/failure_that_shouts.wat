;; Fails with a code and a message of five megabytes each, with details that nest a hundred thousand times.
;; group: words
;; fails: xxxxxxxx…
;; says: cut off
(component
  (;memory;)
  (core module $m
    (import "memory" "memory" (memory 1))
    ;; That it failed; the code, the message, and that there are details.
    (data (i32.const 2048) "\01\00\00\00" "\00\00\10\00\00\00\50\00" "\00\00\10\00\00\00\50\00" "\01\00\00\00\40\0d\03\00\40\0d\03\00")
    (func (export "run") (param i32 i32) (result i32)
      (drop (memory.grow (i32.const 400)))
      (memory.fill (i32.const 200000) (i32.const 91) (i32.const 100000))
      (memory.fill (i32.const 300000) (i32.const 93) (i32.const 100000))
      (memory.fill (i32.const 1048576) (i32.const 120) (i32.const 20971520))
      (i32.const 2048)))
  (core instance $i (instantiate $m (with "memory" (instance $memory))))
  (;skill;))
