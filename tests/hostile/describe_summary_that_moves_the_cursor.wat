;; Describes itself with control characters, on several lines.
;; group: describe
(component
  (;memory;)
  (core module $m
    (import "memory" "memory" (memory 1))
    (data (i32.const 1040) "\28\23\00\00\1a\00\00\00")
    (data (i32.const 9000) "\1b[2J\1b]0;owned\07 nice\0d\0askill"))
  (core instance $i (instantiate $m (with "memory" (instance $memory))))
  (;skill;))
