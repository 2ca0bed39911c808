(* pid.ml - the number of one process: never 0, 1 or negative

   Those would name the caller's group, init, or everybody. *)

type t = private int

(* What the library told: it started it, or adopted it. *)
external known : int -> t = "%identity"

let of_int number =
  if number <= 1 then
    invalid_arg (Printf.sprintf "Xlchild.Pid.of_int: %d names no child" number);
  known number
