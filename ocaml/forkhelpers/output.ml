(* output.ml - commands whose output somebody wants

   Called by xlchild_forkhelpers.ml. They write to files without a name: what a
   command leaves running in the background goes on, as nobody has to read what
   it writes. *)

open Xlchild

external memory_file : string -> int = "xlchild_ml_memory_file"
external fd_of_int : int -> Unix.file_descr = "%identity"
external contents : Unix.file_descr -> string = "xlchild_ml_file_contents"

let file_on_disk () =
  let path = Filename.temp_file "xlchild" ".output" in
  Fun.protect
    ~finally:(fun () -> try Unix.unlink path with Unix.Unix_error _ -> ())
    (fun () -> Unix.openfile path Unix.[ O_RDWR; O_APPEND; O_CLOEXEC ] 0)

let new_file name =
  let fd = memory_file name in
  if fd >= 0 then fd_of_int fd
  else Xlchild_syslog.Elsewhere.run file_on_disk

(* Nothing is allocated between its opening and the handler. *)
let with_file name f =
  let fd = new_file name in
  match f fd with
  | x ->
      Unix.close fd;
      x
  | exception exn ->
      Unix.close fd;
      raise exn

type said = { outcome : outcome; out : string; err : string }

type failure = Never_ran of int | Refused of error

(* [key]: stdout goes to syslog, and stderr with it if it is to be merged. *)
let run ~env ~key ~merge ?timeout ~stdin program arguments =
  with_file "stderr" @@ fun err ->
  let go ?started ~out ~stderr () =
    let ctx = Starting.context () in
    Starting.with_its_family ctx
      (run_result ctx ~stdin ~stdout:(`Fd out) ~stderr:(`Fd stderr) ?timeout
         ?started)
      (fun ?cgroup () ->
        Starting.command_of ?cgroup ~held:false ~env ~fds:Fd_map.empty program arguments)
  in
  let answer ~out result =
    match result with
    | Ok outcome -> Ok { outcome; out = out (); err = contents err }
    | Result.Error e -> (
        match Starting.exit_code_of e ~program with
        | Some code -> Result.Error (Never_ran code)
        | None -> Result.Error (Refused e))
  in
  match key with
  | None ->
      with_file "stdout" @@ fun out ->
      answer ~out:(fun () -> contents out) (go ~out ~stderr:err ())
  | Some key ->
      Starting.with_log_pipe @@ fun writing forward ->
      answer
        ~out:(fun () -> "")
        (go
           ~started:(fun pid -> forward ~key ~pid:(pid :> int))
           ~out:writing
           ~stderr:(if merge then writing else err)
           ())
